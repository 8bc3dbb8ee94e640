package resolve

import (
	"slices"
	"strings"
)

// query is one call of Find.
type query struct {
	x                   *Index
	module, param, name string
	converted           *ConvertedError // met on the way; the answer when no step has a better one
}

// steps are tried in order; the first that names tensors decides.
var steps = []struct {
	how string
	try func(*query) (Match, error)
}{
	{"exact", (*query).exact},
	{"renamed", (*query).renamed},
	{"tower", (*query).within},
	{"prefix", (*query).prefixed},
	{"renamed", (*query).clipped},
	{"text", (*query).textual},
	{"tower", (*query).inTower},
	{"tied", (*query).tied},
	{"suffix", (*query).suffixed},
}

// exact takes the disk's own name, unless the class calls another tensor so:
// an adapter of that class means the other one.
func (q *query) exact() (Match, error) {
	if !q.x.disk[q.name] {
		return Match{}, nil
	}
	if m := q.x.own(); m.renamesAny() {
		m.build()
		for _, t := range m.index[q.name] {
			if t.disk != q.name && t.by == nil {
				return Match{}, q.ambiguous([]string{q.name, t.disk})
			}
		}
	}
	return Match{Name: q.name}, nil
}

// renamed takes the tensor that some class of the model type loads under this
// name, or under what an older spelling of this name becomes.
func (q *query) renamed() (Match, error) {
	for m := range q.x.distinct {
		for _, n := range []string{q.name, m.canonical(q.name, nil)} {
			if found, err := q.settle(q.in(m, n)); err != nil || found.Name != "" {
				return found, err
			}
		}
	}
	return Match{}, nil
}

// prefixed adds and strips base model prefixes and generic wrappers.
func (q *query) prefixed() (Match, error) {
	return q.spread(q.x.variants(q.name))
}

// clipped adds or strips the linear layer within a clipping one (Gemma 4), which
// some checkpoints and adapters name and others do not.
func (q *query) clipped() (Match, error) {
	if rest, ok := strings.CutSuffix(q.module, ".linear"); ok {
		n := join(rest, q.param)
		return q.spread(append(q.x.variants(n), n))
	}
	n := join(join(q.module, "linear"), q.param)
	return q.spread(append(q.x.variants(n), n))
}

// spread looks for any of the names on disk and in the mappings.
func (q *query) spread(names []string) (Match, error) {
	var found []string
	for _, n := range names {
		if q.x.disk[n] {
			found = append(found, n)
		}
	}
	if m, err := q.settle(found); err != nil || m.Name != "" {
		return m, err
	}
	for m := range q.x.distinct {
		found = nil
		for _, n := range names {
			found = append(found, q.in(m, n)...)
			if c := m.canonical(n, nil); c != n {
				found = append(found, q.in(m, c)...)
			}
		}
		if m, err := q.settle(found); err != nil || m.Name != "" {
			return m, err
		}
	}
	return Match{}, nil
}

// in lists the disk tensors that are loaded as they are under a runtime name.
func (q *query) in(m *mapping, name string) []string {
	var found []string
	var made []target
	for _, t := range m.index[name] {
		if t.by == nil {
			found = append(found, t.disk)
		} else {
			made = append(made, t)
		}
	}
	if len(found) == 0 && len(made) > 0 && q.converted == nil {
		q.converted = converted(q.module, q.param, made)
		q.converted.heads = q.x.heads()
	}
	return found
}

func converted(module, param string, made []target) *ConvertedError {
	e := &ConvertedError{Module: module, Param: param, Operations: made[0].by.Ops, Part: made[0].part, Parts: made[0].parts, made: made}
	for _, t := range made {
		e.Sources = append(e.Sources, t.disk)
	}
	slices.Sort(e.Sources)
	return e
}

// settle wants one distinct name.
func (q *query) settle(found []string) (Match, error) {
	slices.Sort(found)
	found = slices.Compact(found)
	switch len(found) {
	case 0:
		return Match{}, nil
	case 1:
		return Match{Name: found[0]}, nil
	}
	return Match{}, q.ambiguous(found)
}

func (q *query) ambiguous(found []string) error {
	slices.Sort(found)
	return &AmbiguousError{Module: q.module, Param: q.param, Candidates: slices.Compact(found)}
}

// variants are the name with up to one prefix stripped and up to one added. The
// name itself is not among them.
func (x *Index) variants(name string) []string {
	x.all()
	bare := []string{name}
	for _, p := range x.prefixes {
		if rest, ok := under(name, p); ok && strings.Contains(rest, ".") {
			bare = append(bare, rest)
		}
	}
	var out []string
	add := func(n string) {
		if n != name && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	for _, n := range bare {
		add(n)
		for _, p := range x.prefixes {
			add(p + "." + n)
		}
	}
	return out
}

// renamesAny reports whether the class has rules at all besides the legacy ones.
func (m *mapping) renamesAny() bool {
	return strings.Count(m.sign, ";") > 1
}
