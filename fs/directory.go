package fs

import (
	"context"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// directory is a directory of the tree. It keeps its own table of names: go-fuse's
// also gets the result of a lookup that was under way while a name was removed.
type directory struct {
	gofs.Inode
	tree *tree
	live bool // names may come and go

	mu    sync.RWMutex
	names map[string]entry
	mtime time.Time
}

var _ = (gofs.NodeLookuper)((*directory)(nil))
var _ = (gofs.NodeReaddirer)((*directory)(nil))
var _ = (gofs.NodeGetattrer)((*directory)(nil))
var _ = (gofs.NodeStatfser)((*directory)(nil))

func newDirectory(t *tree) *directory {
	return &directory{tree: t, names: make(map[string]entry)}
}

func (d *directory) mode() uint32 { return dirMode }

func (d *directory) lifetime() (name, attr time.Duration) {
	if d.live {
		return forShort, forShort
	}
	return forLong, forLong
}

// adopt gives a node its inode, if it has none. It lives until forget, whether the
// kernel knows it or not.
func (d *directory) adopt(e entry) {
	if e.EmbeddedInode().StableAttr().Ino == 0 {
		d.NewPersistentInode(context.Background(), e, d.tree.inodes.next(e.mode()&syscall.S_IFMT))
	}
}

// set makes name mean e. What it meant before is returned.
func (d *directory) set(name string, e entry, mtime time.Time) (before entry) {
	d.adopt(e)
	d.mu.Lock()
	defer d.mu.Unlock()
	before = d.names[name]
	d.names[name] = e
	if mtime.After(d.mtime) {
		d.mtime = mtime
	}
	return before
}

// unset removes name and returns what it meant.
func (d *directory) unset(name string, now time.Time) (before entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before = d.names[name]
	if before != nil {
		delete(d.names, name)
		d.mtime = now
	}
	return before
}

func (d *directory) get(name string) entry {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.names[name]
}

// subdirectory returns the directory called name, made when it is not there.
func (d *directory) subdirectory(name string, mtime time.Time) *directory {
	if sub, ok := d.get(name).(*directory); ok {
		sub.touch(mtime)
		return sub
	}
	sub := newDirectory(d.tree)
	sub.mtime = mtime
	d.set(name, sub, mtime)
	return sub
}

func (d *directory) touch(mtime time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if mtime.After(d.mtime) {
		d.mtime = mtime
	}
}

// forget lets go-fuse drop the nodes once the kernel has.
func forget(e entry) {
	if d, ok := e.(*directory); ok {
		d.mu.RLock()
		below := slices.Collect(maps.Values(d.names))
		d.mu.RUnlock()
		for _, child := range below {
			forget(child)
		}
	}
	e.EmbeddedInode().ForgetPersistent()
}

func (d *directory) attr(out *fuse.Attr) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	d.tree.attr(out, dirMode, 0, d.mtime)
	out.Nlink = 2
	for _, e := range d.names {
		if e.mode() == dirMode {
			out.Nlink++
		}
	}
	out.Ino = d.StableAttr().Ino
}

func (d *directory) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.attr(&out.Attr)
	_, attr := d.lifetime()
	out.SetTimeout(attr)
	return 0
}

func (d *directory) Lookup(_ context.Context, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	e := d.get(name)
	if e == nil {
		return nil, syscall.ENOENT
	}
	e.attr(&out.Attr)
	nameTime, attrTime := e.lifetime()
	if d.live {
		nameTime = forShort
	}
	out.SetEntryTimeout(nameTime)
	out.SetAttrTimeout(attrTime)
	return e.EmbeddedInode(), 0
}

func (d *directory) Readdir(context.Context) (gofs.DirStream, syscall.Errno) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]fuse.DirEntry, 0, len(d.names)+2)
	for _, name := range []string{".", ".."} {
		list = append(list, fuse.DirEntry{Name: name, Mode: fuse.S_IFDIR, Ino: d.StableAttr().Ino})
	}
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		stable := d.names[name].EmbeddedInode().StableAttr()
		list = append(list, fuse.DirEntry{Name: name, Mode: stable.Mode, Ino: stable.Ino})
	}
	return gofs.NewListDirStream(list), 0
}

func (d *directory) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	d.tree.statfs(out)
	return 0
}
