//go:build !linux

package fs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// attach leaves the mounting to go-fuse.
func attach(path string, _ *fuse.MountOptions) (target string, err error) { return path, nil }

func detach(path string, lazy bool) error {
	args := []string{path}
	if lazy {
		args = []string{"-f", path}
	}
	out, err := exec.Command("umount", args...).CombinedOutput()
	if err != nil {
		return &os.PathError{Op: "unmount", Path: path, Err: fmt.Errorf("%w: %s", err, out)}
	}
	return nil
}

func apart(touch func() error) error { return touch() }

func touchRoot(path string) error {
	names, err := os.ReadDir(path)
	if err == nil && len(names) == 0 {
		err = errors.New("the tree is empty")
	}
	return err
}

func raiseReadAhead(string, int) error { return nil }

// sourceName is always ours: mount(8) shows no type, and mountedType goes by it.
func sourceName(string) string { return fsName }
