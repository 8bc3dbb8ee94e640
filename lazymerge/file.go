package lazymerge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"sync/atomic"

	"lorafs/safetensors"
)

// File is an open file of a Model: a virtual one, or one of the base's or the
// adapter's that the view shows as it is.
type File struct {
	model   *Model
	path    string
	size    int64
	extents []extent
	host    *os.File // of a file shown as it is
	closed  atomic.Bool
}

// Size is the file's length in bytes.
func (f *File) Size() int64 { return f.size }

// ReadAt fills p with the file's bytes from off on, computing what must be merged.
// It keeps to io.ReaderAt, may be called concurrently and holds no lock while it
// computes. Errors: ctx's, *InputChangedError, and what a transform finds.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	switch {
	case f.closed.Load():
		return 0, ErrClosed
	case off < 0:
		return 0, fmt.Errorf("read %s: negative offset", f.path)
	case off >= f.size:
		return 0, io.EOF
	case f.host != nil:
		return f.readHost(p, off)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverFault(&err)
	first := sort.Search(len(f.extents), func(i int) bool { return f.extents[i].end > off })
	for _, x := range f.extents[first:] {
		if n == len(p) {
			break
		}
		at := off + int64(n)
		part := p[n:min(int64(len(p)), int64(n)+x.end-at)]
		if err := x.source.readAt(ctx, part, at-x.begin); err != nil {
			return 0, fmt.Errorf("read %s at %d: %w", f.path, at, changed(err))
		}
		n += len(part)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *File) readHost(p []byte, off int64) (int, error) {
	n, err := f.host.ReadAt(p, off)
	if errors.Is(err, io.EOF) && off+int64(n) < f.size {
		return 0, &InputChangedError{Path: f.host.Name(), Err: io.ErrUnexpectedEOF}
	}
	return n, err
}

// guard runs a step that touches mappings.
func guard(step func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverFault(&err)
	return step()
}

// recoverFault turns a fault in a mapping (the input shrank between populate and
// use) into an error. Other panics are bugs and go on.
func recoverFault(err *error) {
	r := recover()
	if r == nil {
		return
	}
	fault, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		panic(r)
	}
	// The runtime's words speak of a nil pointer.
	*err = &InputChangedError{Err: fmt.Errorf("no file behind the mapping at %#x", fault.Addr())}
}

func changed(err error) error {
	var c *safetensors.ChangedError
	if errors.As(err, &c) {
		return &InputChangedError{Path: c.Path, Err: err}
	}
	return err
}

// Close releases the file. Reads that are under way end first by the caller's
// doing: Close must not overlap them.
func (f *File) Close() error {
	if f.closed.Swap(true) {
		return nil
	}
	var err error
	if f.host != nil {
		err = f.host.Close()
	}
	return errors.Join(err, f.model.release())
}
