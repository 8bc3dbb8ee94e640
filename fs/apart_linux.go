package fs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// apart runs touch on a thread that does not have the connection to the kernel open.
// A process that is killed while a thread of it waits for an answer of its own mount
// is not gone before that thread is, and keeps the connection open as long as the
// thread shares its files: it would wait for itself, with the mount hanging, until
// somebody aborts the connection. touch must keep to system calls, as the thread's
// files are not the runtime's. Where a sandbox forbids that, touch runs as it is.
func apart(touch func() error) error {
	connection := openDevices()
	result := make(chan error, 1)
	var start func()
	start = func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		if unix.Gettid() == unix.Getpid() {
			// The main thread would not end, and keep its copies of all files open.
			done := make(chan struct{})
			go func() { start(); close(done) }()
			<-done
			runtime.UnlockOSThread()
			return
		}
		if unix.Unshare(unix.CLONE_FILES) == nil {
			for _, fd := range connection {
				_ = unix.Close(fd) // at worst the thread is not apart
			}
		}
		result <- touch()
	}
	go start()
	return <-result
}

// openDevices lists this process's descriptors of /dev/fuse.
func openDevices() []int {
	const dir = "/proc/self/fd"
	list, _ := os.ReadDir(dir) // without /proc there is nothing to be done
	var found []int
	for _, d := range list {
		fd, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if p, err := os.Readlink(filepath.Join(dir, d.Name())); err == nil && p == devFuse {
			found = append(found, fd)
		}
	}
	return found
}

// touchRoot asks the mount at path for what ready waits for: the refusal of polls,
// and a root with something in it.
func touchRoot(path string) error {
	if err := refusePolls(path); err != nil {
		return err
	}
	fd, err := openRetrying(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var buf [4096]byte
	n, err := unix.ReadDirent(fd, buf[:])
	for errors.Is(err, unix.EINTR) {
		n, err = unix.ReadDirent(fd, buf[:])
	}
	if err != nil {
		return &os.PathError{Op: "readdir", Path: path, Err: err}
	}
	if _, _, names := unix.ParseDirent(buf[:n], -1, nil); len(names) == 0 {
		return errors.New("the tree is empty")
	}
	return nil
}

func openRetrying(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
