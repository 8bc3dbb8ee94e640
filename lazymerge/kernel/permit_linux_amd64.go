//go:build !purego

package kernel

import "golang.org/x/sys/unix"

// permitTiles asks Linux for the state of tiles, for all threads. Any error means that
// there are none to use: old kernels, sandboxes, and small signal stacks give one.
func permitTiles() error {
	const reqPermission, tileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
	if _, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, reqPermission, tileData, 0); errno != 0 {
		return errno
	}
	return nil
}
