package safetensors

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"
)

// File is an open file: its header, and its data mapped read-only. It may be
// used by many goroutines at a time; Close must come after the last use of any
// bytes that a Tensor's Slice gave.
type File struct {
	path    string
	fd      *os.File
	raw     uintptr // of fd
	size    int64
	modTime time.Time
	header  *Header
	mapping mmap.MMap
	tensors []*Tensor
	byName  map[string]*Tensor
	closed  atomic.Bool

	noPopulate atomic.Bool // the kernel cannot make bytes resident
}

// Open maps the file at path and checks all of its header. What is wrong with
// the content is an *Error, what is wrong with the path an *fs.PathError.
func Open(path string) (*File, error) {
	// O_NONBLOCK keeps the open of a FIFO that nobody writes from hanging.
	fd, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, fd: fd, raw: fd.Fd()}
	if err := f.load(); err != nil {
		fd.Close()
		return nil, err
	}
	return f, nil
}

func (f *File) load() error {
	st, err := f.fd.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return &fs.PathError{Op: "open", Path: f.path, Err: errors.New("not a regular file")}
	}
	f.size, f.modTime = st.Size(), st.ModTime()
	if f.header, err = ReadHeader(f.fd, f.size); err != nil {
		return f.located(err)
	}
	if f.size != int64(int(f.size)) {
		return &fs.PathError{Op: "mmap", Path: f.path, Err: syscall.ENOMEM}
	}
	// Not the whole file by length -1: it may have grown since the Stat.
	f.mapping, err = mmap.MapRegion(f.fd, int(f.size), mmap.RDONLY, 0, 0)
	if err != nil {
		return &fs.PathError{Op: "mmap", Path: f.path, Err: err}
	}
	f.index()
	return nil
}

// located adds the path to an error of ReadHeader.
func (f *File) located(err error) error {
	e := (*Error)(nil)
	if errors.As(err, &e) {
		e.Path = f.path
		pathErr := (*fs.PathError)(nil)
		if errors.As(e.Err, &pathErr) {
			return pathErr
		}
	}
	return err
}

func (f *File) index() {
	all := make([]Tensor, len(f.header.Entries))
	f.tensors = make([]*Tensor, len(all))
	f.byName = make(map[string]*Tensor, len(all))
	for i, e := range f.header.Entries {
		begin, end := f.header.DataStart+e.Begin, f.header.DataStart+e.End
		all[i] = Tensor{Info: e.Info, data: f.mapping[begin:end:end], file: f, begin: begin}
		f.tensors[i] = &all[i]
		f.byName[e.Name] = &all[i]
	}
}

// Path returns the path given to Open.
func (f *File) Path() string { return f.path }

// Header returns the header, which must not be changed.
func (f *File) Header() *Header { return f.header }

// Size returns the size that the file had at Open.
func (f *File) Size() int64 { return f.size }

// ModTime returns the modification time that the file had at Open.
func (f *File) ModTime() time.Time { return f.modTime }

// Tensors returns all tensors in the order of their data.
func (f *File) Tensors() []*Tensor { return f.tensors }

// Tensor returns the tensor of that name, nil when there is none.
func (f *File) Tensor(name string) *Tensor { return f.byName[name] }

// Unchanged asks the file system whether the file still has the size and the
// modification time that it had at Open, and returns a *ChangedError if not. A
// file replaced by rename stays as it was, since the old one is held open.
func (f *File) Unchanged() error {
	if f.closed.Load() {
		return f.closedError()
	}
	// os.File.Stat allocates, and every read ends with this question.
	var st unix.Stat_t
	if err := unix.Fstat(int(f.raw), &st); err != nil {
		return &fs.PathError{Op: "stat", Path: f.path, Err: err}
	}
	if st.Size != f.size {
		return &ChangedError{Path: f.path, Detail: fmt.Sprintf("it had %d bytes, has %d", f.size, st.Size)}
	}
	if !time.Unix(st.Mtim.Unix()).Equal(f.modTime) {
		return &ChangedError{Path: f.path, Detail: "its modification time moved"}
	}
	return nil
}

// Close unmaps the data. Bytes that Slice gave must not be touched after it; a
// Slice called later returns an error that is fs.ErrClosed.
func (f *File) Close() error {
	if f.closed.Swap(true) {
		return f.closedError()
	}
	return errors.Join(f.mapping.Unmap(), f.fd.Close())
}

func (f *File) closedError() error {
	return &fs.PathError{Op: "read", Path: f.path, Err: fs.ErrClosed}
}

// populateChunk bounds one madvise, which cannot be interrupted: 8 MiB take a
// few milliseconds from a disk.
const populateChunk = 8 << 20

// populate makes bytes [lo, hi) of the mapping resident.
func (f *File) populate(lo, hi int64) error {
	if f.closed.Load() {
		return f.closedError()
	}
	if lo == hi {
		return nil
	}
	page := int64(os.Getpagesize())
	for lo -= lo % page; lo < hi && !f.noPopulate.Load(); lo += populateChunk {
		end := min(lo+populateChunk, hi)
		switch err := populateRead(f.mapping[lo:end]); {
		case unsupported(err):
			f.noPopulate.Store(true)
		case err != nil:
			return f.populateError(err)
		}
	}
	return nil
}

// unsupported reports whether the kernel is older than 5.14 (EINVAL), or a
// sandbox stands before it. Touching the bytes then faults in the caller.
func unsupported(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EPERM)
}

// populateError tells a file that lost its bytes from a disk that cannot read
// them: both are EFAULT to madvise.
func (f *File) populateError(err error) error {
	if !errors.Is(err, syscall.EFAULT) {
		return &fs.PathError{Op: "read", Path: f.path, Err: err}
	}
	if changed := f.Unchanged(); changed != nil {
		return changed
	}
	return &fs.PathError{Op: "read", Path: f.path, Err: syscall.EIO}
}
