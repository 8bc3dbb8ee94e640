package fs

import (
	"context"
	"sync"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// control is a file of .lorafs that says how the mount is doing. An open file is a
// picture of that moment; its size is true, so that cat, cp and mmap-less readers
// agree. Pages are not cached: the next open is another picture.
type control struct {
	gofs.Inode
	tree   *tree
	render func() []byte

	mu   sync.Mutex
	last []byte // what the latest open, or the latest stat with none open, saw
	when time.Time
	open int
}

var _ = (gofs.NodeOpener)((*control)(nil))
var _ = (gofs.NodeGetattrer)((*control)(nil))
var _ = (gofs.NodeReader)((*control)(nil))
var _ = (gofs.NodeReleaser)((*control)(nil))
var _ = (gofs.NodeStatfser)((*control)(nil))

// picture is an open control file.
type picture []byte

func (c *control) mode() uint32 { return fileMode }

func (c *control) lifetime() (name, attr time.Duration) { return forLong, forOnce }

// take renders the file unless somebody is about to read what was rendered last.
func (c *control) take(opening bool) (data []byte, when time.Time) {
	fresh := c.render()
	c.mu.Lock()
	defer c.mu.Unlock()
	if opening || c.open == 0 {
		c.last, c.when = fresh, time.Now()
	}
	if opening {
		c.open++
	}
	return c.last, c.when
}

func (c *control) attr(out *fuse.Attr) {
	data, when := c.take(false)
	c.tree.attr(out, fileMode, int64(len(data)), when)
	out.Ino = c.StableAttr().Ino
}

func (c *control) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	c.attr(&out.Attr)
	out.SetTimeout(forOnce)
	return 0
}

func (c *control) Open(_ context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	if code := readOnly(flags); code != 0 {
		return nil, 0, code
	}
	data, _ := c.take(true)
	return picture(data), fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH, 0
}

func (c *control) Read(_ context.Context, h gofs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return window(h.(picture), dest, off), 0
}

func (c *control) Release(context.Context, gofs.FileHandle) syscall.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	return 0
}

func (c *control) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	c.tree.statfs(out)
	return 0
}

// addControl puts stats.json and metrics into .lorafs at the root.
func (r *root) addControl(now time.Time) {
	dir := r.subdirectory(controlDir, now)
	dir.set("stats.json", &control{tree: r.tree, render: func() []byte { return r.tree.statsJSON(r.population()) }}, now)
	dir.set("metrics", &control{tree: r.tree, render: func() []byte { return r.tree.metrics(r.population()) }}, now)
	r.tree.files.Add(2)
}

const controlDir = ".lorafs"
