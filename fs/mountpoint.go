package fs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// checkMountpoint says whether the tree can be mounted at p, and resolves it.
func checkMountpoint(p string, inputs []string) (string, error) {
	path, err := resolve(p)
	if err != nil {
		return "", &MountpointError{Path: p, Reason: "cannot be resolved", Err: err}
	}
	if err := clearStale(path); err != nil {
		return "", err
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &MountpointError{Path: p, Reason: "does not exist"}
	case err != nil:
		return "", &MountpointError{Path: p, Reason: "cannot be used", Err: err}
	case !st.IsDir():
		return "", &MountpointError{Path: p, Reason: "is not a directory"}
	}
	if err := checkOverlap(path, inputs); err != nil {
		return "", err
	}
	return path, checkEmpty(path)
}

// checkOverlap refuses a mountpoint in or above an input. Reading an input through
// the mount that is made of it would wait for itself.
func checkOverlap(path string, inputs []string) error {
	for _, in := range inputs {
		input, err := resolve(in)
		if err != nil {
			continue // an id, or something the caller has judged already
		}
		switch {
		case input == path:
			return &MountpointError{Path: path, Reason: "is the input " + in}
		case below(input, path):
			return &MountpointError{Path: path, Reason: "holds the input " + in}
		case below(path, input):
			return &MountpointError{Path: path, Reason: "lies in the input " + in}
		}
	}
	return nil
}

func below(p, dir string) bool {
	return strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

func checkEmpty(path string) (err error) {
	d, err := os.Open(path)
	if err != nil {
		return &MountpointError{Path: path, Reason: "cannot be read", Err: err}
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	switch _, err := d.Readdirnames(1); {
	case err == nil:
		return &MountpointError{Path: path, Reason: "is not empty"}
	case !errors.Is(err, io.EOF):
		return &MountpointError{Path: path, Reason: "cannot be read", Err: err}
	}
	return nil
}

// clearStale unmounts what a dead process of ours has left at path. A mount of ours
// that is served is an error.
func clearStale(path string) error {
	kind, err := mountedType(path)
	if err != nil || kind != fsType {
		return nil // what is wrong with it, if anything is, shows when it is used
	}
	if !dead(path) {
		return &MountpointError{Path: path, Reason: "is a mount of lorafs already"}
	}
	if err := detach(path, true); err != nil {
		return &MountpointError{Path: path, Reason: "is a mount of lorafs whose process died, and cannot be unmounted", Err: err}
	}
	return nil
}

// dead says whether nobody serves the mount at path any more. The kernel answers stat
// from memory for hours; statfs goes to the server. One that does not answer lives.
func dead(path string) bool {
	answer := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(path, &st)
	}()
	select {
	case err := <-answer:
		return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ENXIO)
	case <-time.After(aliveTime):
		return false
	}
}

const aliveTime = 2 * time.Second

// resolve makes p absolute and free of symbolic links. The last part may be missing,
// or a mount that does not answer.
func resolve(p string) (string, error) {
	for range 10 {
		full, err := filepath.Abs(p)
		if err != nil {
			return "", err
		}
		if real, err := filepath.EvalSymlinks(full); err == nil {
			return real, nil
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(full))
		if err != nil {
			return "", err
		}
		p = filepath.Join(dir, filepath.Base(full))
		target, err := os.Readlink(p)
		if err != nil {
			return p, nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		p = target
	}
	return "", &os.PathError{Op: "resolve", Path: p, Err: syscall.ELOOP}
}
