package fs

import (
	"context"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"lorafs/cache"
)

const (
	blockSize = 4096
	fileMode  = fuse.S_IFREG | 0o444
	dirMode   = fuse.S_IFDIR | 0o555
)

// keepPages lets the kernel keep the pages of an earlier open, and spares it a message
// at each close.
const keepPages = fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH

// How long the kernel may trust what it was told. The entries of a library can
// change; the kernel is told when they do, and a second bounds what a lookup that
// was under way at that moment can leave behind. go-fuse has no default for these:
// it would replace a 0, which alone makes fstat ask for the size of an open picture
// (the kernel rounds a nanosecond up to its clock tick).
const (
	forLong  = 24 * time.Hour
	forShort = time.Second
	forOnce  = 0
)

// tree is what all nodes of a mount share.
type tree struct {
	uid, gid uint32
	inodes   inodes
	stats    counters
	log      *errorLog
	handles  handles
	backing  backing
	cache    func() cache.Stats
	bytes    atomic.Int64 // of all files
	files    atomic.Int64
}

func newTree(uid, gid int, log *slog.Logger, stats func() cache.Stats) *tree {
	return &tree{uid: uint32(uid), gid: uint32(gid), log: newErrorLog(log), cache: stats, stats: counters{started: time.Now()}}
}

// entry is a node of ours: what a directory needs to know of its children.
type entry interface {
	gofs.InodeEmbedder
	attr(out *fuse.Attr)
	mode() uint32
	lifetime() (name, attr time.Duration)
}

// file is the part that nodes of regular files have in common. Its content and its
// attributes never change.
type file struct {
	gofs.Inode
	tree  *tree
	path  string // for messages
	size  int64
	mtime time.Time
}

var _ = (gofs.NodeGetattrer)((*file)(nil))
var _ = (gofs.NodeStatfser)((*file)(nil))

func (f *file) mode() uint32 { return fileMode }

func (f *file) lifetime() (name, attr time.Duration) { return forLong, forLong }

func (f *file) attr(out *fuse.Attr) {
	f.tree.attr(out, fileMode, f.size, f.mtime)
	out.Ino = f.StableAttr().Ino
}

func (f *file) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.attr(&out.Attr)
	out.SetTimeout(forLong)
	return 0
}

func (f *file) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	f.tree.statfs(out)
	return 0
}

func (t *tree) attr(out *fuse.Attr, mode uint32, size int64, mtime time.Time) {
	out.Mode = mode
	out.Nlink = 1
	out.Size = uint64(size)
	out.Blocks = (out.Size + 511) / 512
	out.Blksize = blockSize
	out.Uid, out.Gid = t.uid, t.gid
	out.SetTimes(&mtime, &mtime, &mtime)
}

func (t *tree) statfs(out *fuse.StatfsOut) {
	out.Bsize, out.Frsize = blockSize, blockSize
	out.Blocks = (uint64(t.bytes.Load()) + blockSize - 1) / blockSize
	out.Files = uint64(t.files.Load())
	out.NameLen = 255
}

// readOnly refuses an open that wants to write. The mount is read-only, so the kernel
// refuses first; this answers for a mount remounted otherwise.
func readOnly(flags uint32) syscall.Errno {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0 {
		return syscall.EROFS
	}
	return 0
}
