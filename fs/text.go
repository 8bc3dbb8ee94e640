package fs

import (
	"context"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// text is a file whose bytes are in memory.
type text struct {
	file
	data []byte
}

var _ = (gofs.NodeOpener)((*text)(nil))
var _ = (gofs.NodeReader)((*text)(nil))

func newText(t *tree, path string, data []byte, mtime time.Time) *text {
	return &text{file{tree: t, path: path, size: int64(len(data)), mtime: mtime}, data}
}

func (f *text) Open(_ context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	return nil, keepPages, readOnly(flags)
}

func (f *text) Read(_ context.Context, _ gofs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return window(f.data, dest, off), 0
}

// window is the part of data that a read of dest at off gets.
func window(data, dest []byte, off int64) fuse.ReadResult {
	off = min(max(off, 0), int64(len(data)))
	return fuse.ReadResultData(data[off:min(off+int64(len(dest)), int64(len(data)))])
}
