package fs

import (
	"errors"
	"time"
)

const unmountTime = time.Second

// Unmount unmounts the tree at mountpoint, whichever process serves it. Lazily means
// at once, under those who use it. Errors: *NotMountedError when it is no mount of
// lorafs, *BusyError, *PermissionError.
func Unmount(mountpoint string, lazy bool) error {
	path, err := resolve(mountpoint)
	if err != nil {
		return &NotMountedError{Path: mountpoint}
	}
	kind, err := mountedType(path)
	if err != nil {
		return err
	}
	if kind != fsType {
		return &NotMountedError{Path: mountpoint, Type: kind}
	}
	for deadline := time.Now().Add(unmountTime); ; time.Sleep(retryPause) {
		err := detach(path, lazy)
		if !errors.Is(err, errBusy) {
			return err
		}
		if time.Now().After(deadline) {
			return &BusyError{Mountpoint: path, Holders: Holders(path)}
		}
	}
}
