package fs

import (
	"fmt"
	"strings"
)

// MountpointError is a mountpoint that cannot be used.
type MountpointError struct {
	Path   string
	Reason string
	Err    error // may be nil
}

func (e *MountpointError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("mountpoint %s: %s: %v", e.Path, e.Reason, e.Err)
	}
	return fmt.Sprintf("mountpoint %s: %s", e.Path, e.Reason)
}

func (e *MountpointError) Unwrap() error { return e.Err }

// FUSEMissingError is a machine without a part of FUSE.
type FUSEMissingError struct {
	Part string // "/dev/fuse", "fusermount3" or the kernel's "fuse" file system
	Err  error
}

func (e *FUSEMissingError) Error() string {
	return fmt.Sprintf("fuse is not available: %s: %v", e.Part, e.Err)
}

func (e *FUSEMissingError) Unwrap() error { return e.Err }

// PermissionError is something that the user may not do.
type PermissionError struct {
	Op     string // "open", "mount", "allow_other"
	Path   string
	Reason string // the words of the helper, "" when Err says it
	Err    error
}

func (e *PermissionError) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("%s %s: not permitted: %s", e.Op, e.Path, e.Reason)
	}
	return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err)
}

func (e *PermissionError) Unwrap() error { return e.Err }

// MountError is a mount that failed for another reason.
type MountError struct {
	Mountpoint string
	Reason     string // the words of the helper, "" when Err says it
	Err        error
}

func (e *MountError) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("mount on %s: %s", e.Mountpoint, e.Reason)
	}
	return fmt.Sprintf("mount on %s: %v", e.Mountpoint, e.Err)
}

func (e *MountError) Unwrap() error { return e.Err }

// NotMountedError is a path that is no mount of lorafs.
type NotMountedError struct {
	Path string
	Type string // of the file system that is mounted there, "" when none is
}

func (e *NotMountedError) Error() string {
	if e.Type != "" {
		return fmt.Sprintf("%s is a mount of type %s, not of lorafs", e.Path, e.Type)
	}
	return fmt.Sprintf("%s is not a mountpoint", e.Path)
}

// Holder is a process that uses a mount.
type Holder struct {
	PID  int
	Comm string
	What string // "working directory", "open file config.json", …
}

// BusyError is a mount in use.
type BusyError struct {
	Mountpoint string
	Holders    []Holder // those that could be found
	Detached   bool     // the name is gone already, the users are not
}

func (e *BusyError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s is in use", e.Mountpoint)
	for i, h := range e.Holders {
		if i == 5 {
			fmt.Fprintf(&s, " and %d more", len(e.Holders)-i)
			break
		}
		sep := ","
		if i == 0 {
			sep = " by"
		}
		fmt.Fprintf(&s, "%s %s (pid %d: %s)", sep, h.Comm, h.PID, h.What)
	}
	return s.String()
}

// NameError is a model that cannot stand in the tree under its name.
type NameError struct {
	Name, Reason string
}

func (e *NameError) Error() string { return fmt.Sprintf("model %q: %s", e.Name, e.Reason) }
