package main

import (
	"errors"
	"fmt"
	stdfs "io/fs"
	"os"
	"strings"

	"lorafs/fs"
)

// hint says what helps against an error that is about the machine or the mount,
// not about an input; "" when it is none. diagnose advises on inputs.
func hint(err error) string {
	var (
		missing    *fs.FUSEMissingError
		permission *fs.PermissionError
		mountpoint *fs.MountpointError
		mount      *fs.MountError
		unmounted  *fs.NotMountedError
		busy       *fs.BusyError
		name       *fs.NameError
	)
	switch {
	case errors.As(err, &missing):
		return "lorafs doctor says what is missing and how to get it"
	case errors.As(err, &permission):
		return permissionHint(permission)
	case errors.As(err, &mountpoint):
		return mountpointHint(mountpoint)
	case errors.As(err, &mount):
		return "lorafs doctor says what is missing on this machine"
	case errors.As(err, &unmounted):
		return "findmnt -t fuse.lorafs lists the mounts"
	case errors.As(err, &busy):
		return busyHint(busy)
	case errors.As(err, &name):
		return "NAME=ADAPTER gives it another name in the tree"
	}
	return ""
}

func permissionHint(e *fs.PermissionError) string {
	if e.Op == "allow_other" {
		return "as root: echo user_allow_other >> /etc/fuse.conf; or mount without --allow-other"
	}
	return "lorafs doctor says what this user lacks"
}

func mountpointHint(e *fs.MountpointError) string {
	if _, err := os.Stat(e.Path); errors.Is(err, stdfs.ErrNotExist) {
		return fmt.Sprintf("mkdir -p %s", e.Path)
	}
	if strings.Contains(e.Reason, "lorafs already") {
		return fmt.Sprintf("lorafs umount %s", e.Path)
	}
	return "name an empty directory that holds neither the base nor an adapter and does not lie in one"
}

func busyHint(e *fs.BusyError) string {
	if e.Detached {
		return "nothing to do: the tree goes when they close their files"
	}
	return fmt.Sprintf("end what uses it, or detach it now: lorafs umount --lazy %s", e.Mountpoint)
}
