package fs

import (
	"context"
	"sync"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"

	"lorafs/lazymerge"
)

// root is the mountpoint: a model's directory, or a directory of models.
type root struct {
	directory
	content Tree // as mounted

	library sync.Mutex // guards what follows and orders changes
	models  map[string]*lazymerge.Model
	invalid map[string]*text
}

var _ = (gofs.NodeOnAdder)((*root)(nil))

func newRoot(content Tree, t *tree) *root {
	r := &root{content: content, models: make(map[string]*lazymerge.Model), invalid: make(map[string]*text)}
	r.directory = directory{tree: t, live: content.Single == nil, names: make(map[string]entry)}
	return r
}

// OnAdd fills the tree, when there is a file system to number its nodes.
func (r *root) OnAdd(context.Context) {
	now := time.Now()
	if m := r.content.Single; m != nil {
		r.addModel(m, "")
		r.models[m.Name()] = m
	}
	for _, m := range r.content.Models {
		r.enter(m)
	}
	for _, i := range r.content.Invalid {
		r.enterInvalid(i, now)
	}
	when := r.mtime
	if when.IsZero() {
		when = now
	}
	r.addControl(when)
}

func (r *root) population() (models, invalid int) {
	r.library.Lock()
	defer r.library.Unlock()
	return len(r.models), len(r.invalid)
}
