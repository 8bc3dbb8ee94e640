package fs

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"lorafs/lazymerge"
)

// merged is a file whose bytes lazymerge makes: weights, and generated text.
type merged struct {
	file
	model *lazymerge.Model
	name  string // in the model
}

var _ = (gofs.NodeOpener)((*merged)(nil))

// Open lets the kernel keep the pages that an earlier open has read: with tensor
// parallel ranks that each open each shard, this is the difference between merging
// once and merging for every rank.
func (m *merged) Open(_ context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	if code := readOnly(flags); code != 0 {
		return nil, 0, code
	}
	f, err := m.model.OpenFile(m.name)
	if err != nil {
		return nil, 0, m.tree.errno("open", m.path, err)
	}
	h := &mergedHandle{node: m, file: f}
	m.tree.handles.add(f)
	m.tree.stats.opens[kindMerged].Add(1)
	return h, keepPages, 0
}

// mergedHandle is an open merged file. It retains its model.
type mergedHandle struct {
	node *merged
	file *lazymerge.File
}

var _ = (gofs.FileReader)((*mergedHandle)(nil))
var _ = (gofs.FileReleaser)((*mergedHandle)(nil))

func (h *mergedHandle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	t := h.node.tree
	start := time.Now()
	n, err := h.file.ReadAt(ctx, dest, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, t.errno("read", h.node.path, err)
	}
	t.stats.reads[kindMerged].note(n, time.Since(start))
	return fuse.ReadResultData(dest[:n]), 0
}

func (h *mergedHandle) Release(context.Context) syscall.Errno {
	t := h.node.tree
	t.handles.remove(h.file)
	return t.errno("close", h.node.path, h.file.Close())
}
