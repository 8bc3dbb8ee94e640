package fs

import (
	"strings"
	"time"

	"lorafs/lazymerge"
)

// Add shows one more model. Its name must be free; a file NAME.INVALID goes. The
// caller closes the model after it was removed, or the server is closed.
func (s *Server) Add(m *lazymerge.Model) error {
	return s.change(m.Name(), func(r *root) error {
		if r.get(m.Name()) != nil {
			return &NameError{m.Name(), "the name is taken"}
		}
		r.enter(m)
		return nil
	})
}

// Replace shows m in place of the model or the file NAME.INVALID of the same name, or
// adds it when there is none. Files that are open stay those of the old model, which
// the caller may close at once.
func (s *Server) Replace(m *lazymerge.Model) error {
	return s.change(m.Name(), func(r *root) error {
		r.enter(m)
		return nil
	})
}

// AddInvalid shows that an adapter is broken, in place of its model if there is one.
func (s *Server) AddInvalid(i Invalid) error {
	return s.change(i.Name, func(r *root) error {
		r.enterInvalid(i, time.Now())
		return nil
	})
}

// Remove takes away the model of that name, or the file NAME.INVALID. Files that are
// open stay readable; the caller may close the model at once.
func (s *Server) Remove(name string) error {
	return s.change(name, func(r *root) error {
		if !r.leave(name) {
			return &NameError{name, "there is no such model"}
		}
		return nil
	})
}

// change runs a change of the library, one at a time, then tells the kernel that the
// names mean something else. The kernel is told without a lock: it may wait for a
// lookup that one of our handlers answers.
func (s *Server) change(name string, do func(*root) error) error {
	r := s.root
	if !r.live {
		return &NameError{name, "the mount shows a single model"}
	}
	if err := checkName(name); err != nil {
		return err
	}
	r.library.Lock()
	err := do(r)
	r.library.Unlock()
	if err == nil {
		// ENOENT means that the kernel had not asked for it.
		_ = r.NotifyEntry(name)
		_ = r.NotifyEntry(name + invalidSuffix)
	}
	return err
}

func checkName(name string) error {
	switch {
	case name == "", name == ".", name == "..", name == controlDir, strings.ContainsAny(name, "/\x00"):
		return &NameError{name, "not a name for a directory"}
	case len(name)+len(invalidSuffix) > 255:
		return &NameError{name, "the name is too long"}
	}
	return nil
}

// enter shows a model: its directory is complete when its name begins to mean it.
func (r *root) enter(m *lazymerge.Model) {
	when := newest(m)
	dir := newDirectory(r.tree)
	dir.mtime = when
	r.adopt(dir)
	dir.addModel(m, m.Name())
	if old := r.models[m.Name()]; old != nil {
		r.tree.removeModel(old)
	}
	r.models[m.Name()] = m
	r.swap(m.Name(), dir, when)
	r.leaveInvalid(m.Name())
}

func (r *root) enterInvalid(i Invalid, now time.Time) {
	e := newInvalid(r.tree, i, now)
	r.leaveInvalid(i.Name)
	r.invalid[i.Name] = e
	r.tree.bytes.Add(e.size)
	r.tree.files.Add(1)
	r.swap(i.Name+invalidSuffix, e, now)
	r.leaveModel(i.Name)
}

// leave removes what stands for name, and says whether something did.
func (r *root) leave(name string) bool {
	model, invalid := r.leaveModel(name), r.leaveInvalid(name)
	return model || invalid
}

func (r *root) leaveModel(name string) bool {
	m, ok := r.models[name]
	if ok {
		r.tree.removeModel(m)
		delete(r.models, name)
		r.swap(name, nil, time.Now())
	}
	return ok
}

func (r *root) leaveInvalid(name string) bool {
	e, ok := r.invalid[name]
	if ok {
		r.tree.bytes.Add(-e.size)
		r.tree.files.Add(-1)
		delete(r.invalid, name)
		r.swap(name+invalidSuffix, nil, time.Now())
	}
	return ok
}

// swap makes name mean e, or nothing, and lets go of what it meant.
func (r *root) swap(name string, e entry, when time.Time) {
	var before entry
	if e == nil {
		before = r.unset(name, when)
	} else {
		before = r.set(name, e, when)
	}
	if before != nil {
		r.RmChild(name)
		forget(before)
	}
}
