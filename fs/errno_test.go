package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"lorafs/lazymerge"
)

func TestErrno(t *testing.T) {
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{fmt.Errorf("read: %w", context.Canceled), syscall.EINTR},
		{context.DeadlineExceeded, syscall.EINTR},
		{&lazymerge.InputChangedError{Path: "x", Err: io.ErrUnexpectedEOF}, syscall.EIO},
		{lazymerge.ErrClosed, syscall.ESTALE},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, syscall.EMFILE},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, syscall.EIO},
		{errors.New("anything else"), syscall.EIO},
	} {
		if got := toErrno(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// TestErrorsAreLoggedOnce: the same cause at thousands of offsets is one line.
func TestErrorsAreLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	tr := newTree(0, 0, slog.New(slog.NewTextHandler(&out, nil)), nil)
	for off := range 1000 {
		err := fmt.Errorf("read model at %d: %w", off, &lazymerge.InputChangedError{Err: io.ErrUnexpectedEOF})
		if code := tr.errno("read", "a", err); code != syscall.EIO {
			t.Fatal(code)
		}
	}
	tr.errno("read", "b", errors.New("other"))
	tr.errno("read", "a", context.Canceled)
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
	if tr.stats.errors.Load() != 1001 || tr.stats.interrupted.Load() != 1 {
		t.Errorf("%d errors, %d interrupted", tr.stats.errors.Load(), tr.stats.interrupted.Load())
	}
}

func TestErrorsAreLoggedAgain(t *testing.T) {
	l := newErrorLog(nil)
	start := time.Now()
	for i, c := range []struct {
		after time.Duration
		times int
		ok    bool
	}{{0, 1, true}, {time.Second, 0, false}, {2 * time.Second, 0, false}, {repeatAfter, 3, true}, {repeatAfter + time.Second, 0, false}} {
		if times, ok := l.due("k", start.Add(c.after)); times != c.times || ok != c.ok {
			t.Errorf("%d: %d, %v", i, times, ok)
		}
	}
	for i := range 10 * mostSeen {
		l.due(fmt.Sprint(i), start)
	}
	if len(l.seen) > mostSeen {
		t.Errorf("%d causes are remembered", len(l.seen))
	}
}

func TestLatency(t *testing.T) {
	var l latency
	for _, d := range []time.Duration{0, bounds[0], bounds[0] + 1, time.Hour} {
		l.note(10, d)
	}
	if l.count() != 4 || l.bytes.Load() != 40 || l.buckets[0].Load() != 2 || l.buckets[1].Load() != 1 || l.buckets[len(bounds)].Load() != 1 {
		t.Errorf("%d reads", l.count())
	}
}

func TestErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&BusyError{Mountpoint: "/m", Holders: []Holder{{7, "cat", "open file x"}, {8, "sh", "working directory"}}}, "/m is in use by cat (pid 7: open file x), sh (pid 8: working directory)"},
		{&BusyError{Mountpoint: "/m", Holders: make([]Holder, 7)}, "and 2 more"},
		{&MountpointError{Path: "/m", Reason: "is not empty"}, "mountpoint /m: is not empty"},
		{&NotMountedError{Path: "/m"}, "/m is not a mountpoint"},
		{&NotMountedError{Path: "/m", Type: "ext4"}, "ext4"},
		{&FUSEMissingError{Part: "/dev/fuse", Err: syscall.ENOENT}, "/dev/fuse: no such file"},
		{&PermissionError{Op: "open", Path: "/dev/fuse", Err: syscall.EACCES}, "open /dev/fuse: permission denied"},
	} {
		if !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%q does not hold %q", c.err, c.want)
		}
	}
}
