package fs

import (
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// backing knows for which file systems the kernel permits passthrough. The answer
// hangs on privilege, on the kernel and on how deep the file system is stacked, so
// the kernel itself is asked, once for each.
type backing struct {
	mu     sync.Mutex
	kernel registrar                // nil where there is no passthrough
	known  map[uint64]syscall.Errno // by device
}

// registrar is the part of go-fuse's server that exists on Linux only.
type registrar interface {
	RegisterBackingFd(*fuse.BackingMap) (int32, syscall.Errno)
	UnregisterBackingFd(id int32) syscall.Errno
}

// attach begins to ask the kernel through server.
func (b *backing) attach(server any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kernel, _ = server.(registrar)
}

func (b *backing) permits(f *os.File) bool { return b.ask(f) == 0 }

func (b *backing) ask(f *os.File) syscall.Errno {
	st, err := f.Stat()
	if err != nil {
		return syscall.EIO
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return syscall.ENOSYS
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kernel == nil {
		return syscall.ENOSYS
	}
	code, ok := b.known[uint64(sys.Dev)]
	if !ok {
		code = b.try(f)
		if b.known == nil {
			b.known = make(map[uint64]syscall.Errno)
		}
		b.known[uint64(sys.Dev)] = code
	}
	return code
}

func (b *backing) try(f *os.File) syscall.Errno {
	id, code := b.kernel.RegisterBackingFd(&fuse.BackingMap{Fd: int32(f.Fd())})
	if code == 0 {
		code = b.kernel.UnregisterBackingFd(id)
	}
	return code
}
