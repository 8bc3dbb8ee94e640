package fs

import (
	"context"
	"errors"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Server is a mounted tree.
type Server struct {
	mountpoint string
	tree       *tree
	root       *root
	fuse       *fuse.Server
	done       chan struct{} // closed when nothing is served any more
	notes      []string
}

const (
	closeTime  = 5 * time.Second // of Close when its context has no deadline
	retryPause = 20 * time.Millisecond
)

func (s *Server) serve() {
	defer close(s.done)
	s.fuse.Serve()
	if err := s.tree.handles.closeAll(); err != nil {
		s.tree.log.Error("close files after the mount ended", "error", err)
	}
}

// Mountpoint is the mountpoint with symbolic links resolved.
func (s *Server) Mountpoint() string { return s.mountpoint }

// Notes says what makes the mount slower than it could be, a sentence each.
func (s *Server) Notes() []string { return s.notes }

// Wait returns when the tree was unmounted, by Close or by somebody else, and all
// requests are answered.
func (s *Server) Wait() { <-s.done }

// Close unmounts. While somebody uses the tree it tries again, until ctx ends (or
// five seconds have passed, when it has no deadline); then the error is a *BusyError
// and the tree stays mounted. It returns when nothing is served any more.
func (s *Server) Close(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		bounded, cancel := context.WithTimeout(ctx, closeTime)
		defer cancel()
		ctx = bounded
	}
	if err := s.unmount(ctx); err != nil {
		return err
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return &BusyError{Mountpoint: s.mountpoint, Detached: true}
	}
}

// unmount tries until nobody uses the tree or ctx ends. That somebody else has
// unmounted it is as good.
func (s *Server) unmount(ctx context.Context) error {
	for {
		select {
		case <-s.done:
			return nil
		default:
		}
		err := detach(s.mountpoint, false)
		var gone *NotMountedError
		switch {
		case err == nil, errors.As(err, &gone):
			return nil
		case !errors.Is(err, errBusy):
			return err
		}
		select {
		case <-ctx.Done():
			return &BusyError{Mountpoint: s.mountpoint, Holders: Holders(s.mountpoint)}
		case <-time.After(retryPause):
		}
	}
}

// CloseLazy takes the tree out of the name space at once. Who has files open can read
// on as long as the process lives; Wait returns when the last of them is closed.
func (s *Server) CloseLazy() error {
	return detach(s.mountpoint, true)
}

var errBusy = errors.New("in use")
