package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"lorafs/lazymerge"
)

// errno is what a client gets for an error of lazymerge. An error that is not the
// client's own doing is logged.
func (t *tree) errno(op, path string, err error) syscall.Errno {
	code := toErrno(err)
	switch code {
	case 0:
		return 0
	case syscall.EINTR:
		t.stats.interrupted.Add(1)
	default:
		t.stats.errors.Add(1)
		t.log.report(op, path, code, err)
	}
	return code
}

func toErrno(err error) syscall.Errno {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return syscall.EINTR
	case errors.Is(err, lazymerge.ErrClosed):
		return syscall.ESTALE
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return syscall.EMFILE
	case errors.Is(err, syscall.ENOMEM):
		return syscall.ENOMEM
	default:
		return syscall.EIO
	}
}

// errorLog logs an error once, and again when a minute has passed: a client that
// meets a broken input meets it thousands of times.
type errorLog struct {
	*slog.Logger
	mu   sync.Mutex
	seen map[string]*repeated
}

type repeated struct {
	logged time.Time
	times  int // since then
}

const (
	repeatAfter = time.Minute
	mostSeen    = 256
)

func newErrorLog(l *slog.Logger) *errorLog {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return &errorLog{Logger: l, seen: make(map[string]*repeated)}
}

func (l *errorLog) report(op, path string, code syscall.Errno, err error) {
	key := op + "\x00" + path + "\x00" + cause(err)
	if times, ok := l.due(key, time.Now()); ok {
		l.Error(op+" failed", "path", path, "errno", code.Error(), "error", err, "times", times)
	}
}

// due says whether the error is to be logged, and how often it came since it was.
func (l *errorLog) due(key string, now time.Time) (times int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.seen[key]
	if r == nil {
		if len(l.seen) >= mostSeen {
			clear(l.seen)
		}
		r = &repeated{}
		l.seen[key] = r
	}
	r.times++
	if !r.logged.IsZero() && now.Sub(r.logged) < repeatAfter {
		return 0, false
	}
	times = r.times
	r.logged, r.times = now, 0
	return times, true
}

// cause names the innermost error by its kind: its text may hold an offset or an
// address, which differ each time.
func cause(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	if code, ok := err.(syscall.Errno); ok {
		return code.Error()
	}
	return fmt.Sprintf("%T", err)
}

// panicked is the answer to a handler that panicked: the client gets EIO, the others
// are served on.
func (t *tree) panicked(v any) fuse.Status {
	t.stats.errors.Add(1)
	t.log.Error("panic while serving a request", "panic", v, "stack", string(debug.Stack()))
	return fuse.EIO
}
