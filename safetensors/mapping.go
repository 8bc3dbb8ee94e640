package safetensors

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"
)

// Mapping is a file of any format, mapped read-only, whose tensors others find. It may
// be used by many goroutines at a time; Close must come after the last use of any
// bytes that a Tensor's Slice gave.
type Mapping struct {
	path    string
	fd      *os.File
	raw     uintptr // of fd
	size    int64
	modTime time.Time
	mapping mmap.MMap
	closed  atomic.Bool

	noPopulate atomic.Bool // the kernel cannot make bytes resident
}

// Map maps the file at path. Error: *fs.PathError.
func Map(path string) (*Mapping, error) {
	m, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	if err := m.mapAll(); err != nil {
		m.fd.Close()
		return nil, err
	}
	return m, nil
}

// openRegular opens a file without mapping it.
func openRegular(path string) (*Mapping, error) {
	// O_NONBLOCK keeps the open of a FIFO that nobody writes from hanging.
	fd, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := fd.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		fd.Close()
		return nil, err
	}
	return &Mapping{path: path, fd: fd, raw: fd.Fd(), size: st.Size(), modTime: st.ModTime()}, nil
}

func (m *Mapping) mapAll() error {
	if m.size == 0 {
		return nil
	}
	if m.size != int64(int(m.size)) {
		return &fs.PathError{Op: "mmap", Path: m.path, Err: syscall.ENOMEM}
	}
	// Not the whole file by length -1: it may have grown since the Stat.
	mapping, err := mmap.MapRegion(m.fd, int(m.size), mmap.RDONLY, 0, 0)
	if err != nil {
		return &fs.PathError{Op: "mmap", Path: m.path, Err: err}
	}
	m.mapping = mapping
	return nil
}

// Tensor is a tensor whose data begins at a byte of the file. Errors: an *Error of
// kind InvalidTensorView when the file is too short, those of Info.Bytes.
func (m *Mapping) Tensor(info Info, begin int64) (*Tensor, error) {
	size, err := info.Bytes()
	if err != nil {
		return nil, err
	}
	if begin < 0 || begin > m.size || size > m.size-begin {
		return nil, &Error{Kind: InvalidTensorView, Path: m.path, Tensor: info.Name,
			Detail: fmt.Sprintf("%d bytes at %d of %d", size, begin, m.size)}
	}
	return &Tensor{Info: info, data: m.mapping[begin : begin+size : begin+size], file: m, begin: begin}, nil
}

// ReadAt reads from the file and not from the mapping, so that it cannot fault. Bytes
// that the file had at Map and has no more give a *ChangedError.
func (m *Mapping) ReadAt(p []byte, off int64) (int, error) {
	if m.closed.Load() {
		return 0, m.closedError()
	}
	if off < 0 || off > m.size {
		return 0, &fs.PathError{Op: "read", Path: m.path, Err: syscall.EINVAL}
	}
	want := int(min(int64(len(p)), m.size-off))
	n, err := m.fd.ReadAt(p[:want], off)
	switch {
	case n < want && errors.Is(err, io.EOF):
		return n, &ChangedError{Path: m.path, Detail: fmt.Sprintf("it had %d bytes, has %d", m.size, off+int64(n))}
	case n == want && want < len(p):
		return n, io.EOF
	case n == want:
		return n, nil
	}
	return n, err
}

// Path returns the path given at the opening.
func (m *Mapping) Path() string { return m.path }

// Size returns the size that the file had at the opening.
func (m *Mapping) Size() int64 { return m.size }

// ModTime returns the modification time that the file had at the opening.
func (m *Mapping) ModTime() time.Time { return m.modTime }

// Unchanged asks the file system whether the file still has the size and the
// modification time that it had at the opening, and returns a *ChangedError if not. A
// file replaced by rename stays as it was, since the old one is held open.
func (m *Mapping) Unchanged() error {
	if m.closed.Load() {
		return m.closedError()
	}
	// os.File.Stat allocates, and every read ends with this question.
	var st unix.Stat_t
	if err := unix.Fstat(int(m.raw), &st); err != nil {
		return &fs.PathError{Op: "stat", Path: m.path, Err: err}
	}
	if st.Size != m.size {
		return &ChangedError{Path: m.path, Detail: fmt.Sprintf("it had %d bytes, has %d", m.size, st.Size)}
	}
	if !time.Unix(st.Mtim.Unix()).Equal(m.modTime) {
		return &ChangedError{Path: m.path, Detail: "its modification time moved"}
	}
	return nil
}

// Close unmaps the data. Bytes that Slice gave must not be touched after it; a
// Slice called later returns an error that is fs.ErrClosed.
func (m *Mapping) Close() error {
	if m.closed.Swap(true) {
		return m.closedError()
	}
	if m.mapping == nil {
		return m.fd.Close()
	}
	return errors.Join(m.mapping.Unmap(), m.fd.Close())
}

func (m *Mapping) closedError() error {
	return &fs.PathError{Op: "read", Path: m.path, Err: fs.ErrClosed}
}

// populateChunk bounds one madvise, which cannot be interrupted: 8 MiB take a
// few milliseconds from a disk.
const populateChunk = 8 << 20

// populate makes bytes [lo, hi) of the mapping resident.
func (m *Mapping) populate(lo, hi int64) error {
	if m.closed.Load() {
		return m.closedError()
	}
	if lo == hi {
		return nil
	}
	page := int64(os.Getpagesize())
	for lo -= lo % page; lo < hi && !m.noPopulate.Load(); lo += populateChunk {
		end := min(lo+populateChunk, hi)
		switch err := populateRead(m.mapping[lo:end]); {
		case unsupported(err):
			m.noPopulate.Store(true)
		case err != nil:
			return m.populateError(err)
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
func (m *Mapping) populateError(err error) error {
	if !errors.Is(err, syscall.EFAULT) {
		return &fs.PathError{Op: "read", Path: m.path, Err: err}
	}
	if changed := m.Unchanged(); changed != nil {
		return changed
	}
	return &fs.PathError{Op: "read", Path: m.path, Err: syscall.EIO}
}
