// Package resolve finds the base tensor that an adapter means. An adapter names
// modules as they were called in memory when it was trained; the base names
// tensors as they were saved, often by another release or another task class.
package resolve

import (
	"slices"
	"strings"
	"sync"
)

// Base is what is known of a base model without its data.
type Base struct {
	Names         []string // tensor names on disk
	ModelType     string   // config.json model_type
	Architectures []string // config.json architectures
	// Config gives the value at a dotted path of config.json ("text_config.model_type"),
	// nil when there is none. It may be nil itself.
	Config func(path string) any
}

// Match is the answer of Find.
type Match struct {
	Name string // the tensor on disk
	How  string // "exact", "renamed", "prefix", "text", "tower", "suffix", "tied"
	// Tied says that the parameter has no tensor of its own on disk: it shares Name.
	Tied bool
	Own  string // with Tied: the name that its own tensor would have on disk
}

// Index answers questions about one base. Its methods may be called concurrently.
type Index struct {
	*lookup
	trained trained
}

// lookup is what all views of a base share.
type lookup struct {
	base Base
	disk map[string]bool

	once     sync.Once
	mappings []*mapping // of the classes that the base may be loaded as, its own first
	prefixes []string   // what may stand before a name or not

	tails    sync.Once
	suffixes map[string][]named
}

// New prepares an index. The work is done when questions come.
func New(b Base) *Index {
	x := &Index{lookup: &lookup{base: b, disk: make(map[string]bool, len(b.Names))}}
	x.base.Names = slices.Sorted(slices.Values(b.Names))
	x.base.Names = slices.Compact(x.base.Names)
	for _, n := range b.Names {
		x.disk[n] = true
	}
	return x
}

// Find returns the tensor that holds the parameter of the module. Errors are
// *NotFoundError, *AmbiguousError and *ConvertedError.
func (x *Index) Find(module, param string) (Match, error) {
	q := query{x: x, module: module, param: param, name: join(module, param)}
	for _, step := range steps {
		m, err := step.try(&q)
		if err != nil {
			return Match{}, err
		}
		if m.Name != "" {
			m.How = step.how
			return m, nil
		}
	}
	if q.converted != nil {
		return Match{}, q.converted
	}
	return Match{}, &NotFoundError{Module: module, Param: param, Nearest: x.nearest(q.name)}
}

// own is the mapping of the class that the base was saved from.
func (x *Index) own() *mapping {
	return x.all()[0]
}

// all lists a mapping for each class that the base may be loaded as.
func (x *Index) all() []*mapping {
	x.once.Do(func() {
		signs := map[string]*mapping{}
		for _, c := range x.classes() {
			m := x.newMapping(c)
			if m.twin = signs[m.sign]; m.twin == nil {
				signs[m.sign] = m
			}
			x.mappings = append(x.mappings, m)
			if info := m.parts[0].info; info != nil {
				x.addPrefix(info.Prefix)
			}
		}
		for _, wrapper := range []string{"model", "base_model", "module"} {
			x.addPrefix(wrapper)
		}
	})
	return x.mappings
}

func (x *Index) addPrefix(p string) {
	if p != "" && !slices.Contains(x.prefixes, p) {
		x.prefixes = append(x.prefixes, p)
	}
}

// distinct lists the mappings whose rules differ, built.
func (x *Index) distinct(yield func(*mapping) bool) {
	for _, m := range x.all() {
		if m.twin != nil {
			continue
		}
		m.build()
		if !yield(m) {
			return
		}
	}
}

// classes lists the classes that the base may be loaded as, its own first. The
// first is "" when nothing is known.
func (x *Index) classes() []string {
	var names []string
	add := func(n string) {
		if n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	kind := x.base.ModelType
	for _, a := range x.base.Architectures {
		if c := classOf(a); c != nil {
			add(a)
			if typeOf(kind) == nil {
				kind = c.Type
			}
		}
	}
	if t := typeOf(kind); t != nil {
		for _, task := range taskOrder {
			add(t.Tasks[task])
		}
		for _, c := range t.Classes {
			add(c)
		}
	}
	if len(names) == 0 {
		names = []string{""}
	}
	return names
}

// text is the string at a path of the config.
func (x *Index) text(path string) string {
	if x.base.Config == nil {
		return ""
	}
	s, _ := x.base.Config(path).(string)
	return s
}

// truth is the boolean at a path of the config, and whether there is one.
func (x *Index) truth(path string) (value, ok bool) {
	if x.base.Config == nil {
		return false, false
	}
	value, ok = x.base.Config(path).(bool)
	return value, ok
}

func join(module, param string) string {
	if module == "" || param == "" {
		return module + param
	}
	return module + "." + param
}

// under says whether name is prefix or lies below it, and what follows.
func under(name, prefix string) (string, bool) {
	if prefix == "" {
		return name, true
	}
	return strings.CutPrefix(name, prefix+".")
}
