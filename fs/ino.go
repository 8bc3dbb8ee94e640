package fs

import (
	"sync/atomic"

	gofs "github.com/hanwen/go-fuse/v2/fs"
)

const rootIno = 1

// inodes numbers the files of a mount, from the root's number on. A number is given
// once: what a client or the kernel remembers of a file is true as long as the mount
// lasts.
type inodes struct{ last atomic.Uint64 }

func (i *inodes) next(mode uint32) gofs.StableAttr {
	return gofs.StableAttr{Mode: mode, Ino: i.last.Add(1) + rootIno}
}
