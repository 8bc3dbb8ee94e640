package fs

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"lorafs/lazymerge"
)

// base is a file on disk that the tree shows as it is. Where the kernel permits, it
// reads the file by itself (passthrough), at the speed of the disk's file system.
type base struct {
	file
	host string
}

var _ = (gofs.NodeOpener)((*base)(nil))

// Open fails when the file on disk is no longer the one that was mounted: its bytes
// would not go with the merged files.
func (b *base) Open(_ context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	if code := readOnly(flags); code != 0 {
		return nil, 0, code
	}
	// What has taken the file's place may be a FIFO, which would hold up an open.
	host, err := os.OpenFile(b.host, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, b.tree.errno("open", b.path, err)
	}
	if err := b.verify(host); err != nil {
		return nil, 0, b.tree.errno("open", b.path, errors.Join(err, host.Close()))
	}
	h := &baseHandle{node: b, host: host, through: b.tree.backing.permits(host)}
	b.tree.handles.add(host)
	kind := kindBase
	if h.through {
		kind = kindPassthrough
	}
	b.tree.stats.opens[kind].Add(1)
	return h, keepPages, 0
}

func (b *base) verify(host *os.File) error {
	st, err := host.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Size() != b.size || !st.ModTime().Equal(b.mtime) {
		return &lazymerge.InputChangedError{Path: b.host, Err: errChanged}
	}
	return nil
}

var errChanged = errors.New("size or modification time differs")

// baseHandle is an open file on disk. Read serves where passthrough is not permitted.
type baseHandle struct {
	node    *base
	host    *os.File
	through bool
}

var _ = (gofs.FileReader)((*baseHandle)(nil))
var _ = (gofs.FileReleaser)((*baseHandle)(nil))
var _ = (gofs.FilePassthroughFder)((*baseHandle)(nil))

func (h *baseHandle) PassthroughFd() (int, bool) { return int(h.host.Fd()), h.through }

func (h *baseHandle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	t := h.node.tree
	start := time.Now()
	n, err := h.host.ReadAt(dest, off)
	if err == nil || errors.Is(err, io.EOF) {
		err = h.node.verify(h.host)
	}
	if err != nil {
		return nil, t.errno("read", h.node.path, err)
	}
	t.stats.reads[kindBase].note(n, time.Since(start))
	return fuse.ReadResultData(dest[:n]), 0
}

func (h *baseHandle) Release(context.Context) syscall.Errno {
	t := h.node.tree
	t.handles.remove(h.host)
	return t.errno("close", h.node.path, h.host.Close())
}
