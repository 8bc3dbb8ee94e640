package fs

import (
	"path"
	"strings"
	"time"

	"lorafs/lazymerge"
)

// addModel puts the files of a model below d. prefix is d's path in the mount, for
// messages.
func (d *directory) addModel(m *lazymerge.Model, prefix string) {
	for _, e := range m.Entries() {
		dir := d
		parts := strings.Split(e.Path, "/")
		for _, name := range parts[:len(parts)-1] {
			dir.touch(e.ModTime)
			dir = dir.subdirectory(name, e.ModTime)
		}
		dir.set(parts[len(parts)-1], d.tree.fileOf(m, e, path.Join(prefix, e.Path)), e.ModTime)
		d.tree.bytes.Add(e.Size)
		d.tree.files.Add(1)
	}
}

// removeModel takes the files of a model out of the totals.
func (t *tree) removeModel(m *lazymerge.Model) {
	for _, e := range m.Entries() {
		t.bytes.Add(-e.Size)
		t.files.Add(-1)
	}
}

// fileOf is the node of one file of a model.
func (t *tree) fileOf(m *lazymerge.Model, e lazymerge.Entry, where string) entry {
	if e.Host != "" {
		return &base{file: file{tree: t, path: where, size: e.Size, mtime: e.ModTime}, host: e.Host}
	}
	return &merged{file: file{tree: t, path: where, size: e.Size, mtime: e.ModTime}, model: m, name: e.Path}
}

// newest is the time of a model's newest file.
func newest(m *lazymerge.Model) (t time.Time) {
	for _, e := range m.Entries() {
		if e.ModTime.After(t) {
			t = e.ModTime
		}
	}
	return t
}
