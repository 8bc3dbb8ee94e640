package modeldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Source is one of the references of a Library, to be looked at again while its adapters
// are in use. It is not for concurrent use.
type Source struct {
	reference
	library bool
	known   map[string]known // entries of a library at the last look, by their real paths
}

// newSource remembers where a reference led, whatever the working directory will be.
func newSource(r reference, library bool) (*Source, error) {
	var err error
	if r.parts == nil {
		r.host, err = filepath.Abs(r.host)
		return &Source{reference: r, library: library}, err
	}
	parts := make([]stackPart, len(r.parts))
	for i, p := range r.parts {
		if p.host, err = filepath.Abs(p.host); err != nil {
			return nil, err
		}
		parts[i] = p
	}
	r.parts = parts
	return &Source{reference: r, library: library}, nil
}

// String is the reference as it was written.
func (s *Source) String() string { return s.ref }

// Look finds what the source leads to now: nothing where its path is gone, or where a
// library was emptied. An adapter that cannot be opened has Err set. Errors: those of
// reading a library's directory, and *NotAdapterError where it has become an adapter.
func (s *Source) Look() ([]Adapter, error) {
	if _, err := os.Lstat(s.host); s.parts == nil && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	before := s.known
	s.known = make(map[string]known)
	found, err := s.findBy(func(dir scope, name string) (Adapter, bool) {
		path := filepath.Join(dir.root, name)
		k := before[path]
		if !k.holds() {
			k = lookAt(dir, name)
		}
		s.known[path] = k
		return k.adapter, k.ok
	})
	if !s.library {
		a := s.one(found, err)
		a.Marks = marks(a)
		return []Adapter{a}, nil
	}
	var none *NotAdapterError
	switch {
	case errors.As(err, &none), errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && !found.library:
		err = &NotAdapterError{Path: s.host, Reason: "it was mounted as a library, and is an adapter itself now"}
	}
	return found.adapters, err
}

// one is the adapter of a source that is no library.
func (s *Source) one(found found, err error) Adapter {
	if err == nil && found.library {
		err = &NotAdapterError{Path: s.host, Reason: "it was mounted as an adapter, and is a library now"}
	}
	if err == nil {
		return found.adapters[0]
	}
	a := Adapter{Name: s.tree, Ref: s.ref, Dir: s.host, Err: err}
	if s.parts == nil && !isDir(s.host) {
		a.Name = s.fileName()
	}
	return a
}

// known is what a look at an entry of a library has found.
type known struct {
	adapter Adapter
	ok      bool     // the entry is an adapter
	nested  bool     // it holds checkpoints, in which things may change unseen
	files   []string // the entry, and the adapter's files and their directories
	stamp   string   // their marks
	when    time.Time
}

// lookAt looks at an entry in full.
func lookAt(dir scope, name string) known {
	path := filepath.Join(dir.root, name)
	k := known{when: time.Now()}
	k.adapter, k.ok = dir.libraryEntry(name)
	k.nested = len(checkpointSteps(path)) > 0
	k.files = []string{path}
	if k.ok {
		m := marker{}
		m.adapter(k.adapter)
		k.adapter.Marks = m.String()
		for _, file := range m.files {
			k.files = append(k.files, file, filepath.Dir(file))
		}
	}
	k.stamp = k.mark().String()
	return k
}

const (
	// settle is how old times must be at a look for the next one to rely on them: file
	// systems count seconds, or two, or have another clock.
	settle = 3 * time.Second
	// relook bounds how long they are relied on: not all that a look sees has its time
	// among them.
	relook = 30 * time.Second
)

// holds tells whether the entry is the same now, as far as times tell. What is new in a
// directory changes its time.
func (k known) holds() bool {
	if k.stamp == "" || k.nested || time.Since(k.when) > relook {
		return false
	}
	m := k.mark()
	return m.String() == k.stamp && m.newest.Before(k.when.Add(-settle))
}

func (k known) mark() *marker {
	m := &marker{}
	for _, file := range k.files {
		m.mark(file)
	}
	return m
}

// marks are an adapter's Marks.
func marks(a Adapter) string {
	m := marker{}
	m.adapter(a)
	return m.String()
}

// marker writes what tells states of files apart.
type marker struct {
	strings.Builder
	files  []string // those that are there
	newest time.Time
}

func (m *marker) adapter(a Adapter) {
	fmt.Fprintln(m, a.Dir)
	if a.File != "" {
		m.mark(a.File)
	} else {
		for _, name := range adapterFiles {
			m.mark(filepath.Join(a.Dir, name))
		}
	}
	for _, f := range a.Files {
		fmt.Fprint(m, f.Path, " ")
		m.mark(f.Host)
	}
	for _, p := range a.Parts {
		m.adapter(p.Adapter)
	}
}

// mark writes what is known of a file, of what a link leads to; nothing for none, and for
// one that it has.
func (m *marker) mark(path string) {
	var st unix.Stat_t
	if slices.Contains(m.files, path) || unix.Stat(path, &st) != nil {
		return
	}
	written, changed := time.Unix(st.Mtim.Unix()), time.Unix(st.Ctim.Unix())
	fmt.Fprintln(m, path, st.Dev, st.Ino, st.Mode, st.Size, written.UnixNano(), changed.UnixNano())
	m.files = append(m.files, path)
	for _, t := range []time.Time{written, changed} {
		if t.After(m.newest) {
			m.newest = t
		}
	}
}
