package resolve

import (
	"slices"
	"strings"
)

// named is a name, on disk or in memory, and the disk tensor that it is.
type named struct{ name, disk string }

// tail is the number of components by which suffixes are indexed: the parameter
// and two components of the module.
const tail = 3

// suffixed takes the only tensor whose name ends like the query's, or the query's
// like its name. What is left over must mean nothing: no layer numbers, and no
// part of a composite model.
func (q *query) suffixed() (Match, error) {
	key, ok := last(q.name, tail)
	if !ok {
		return Match{}, nil
	}
	q.x.tails.Do(q.x.indexTails)
	best, found := 0, []string(nil)
	for _, c := range q.x.suffixes[key] {
		n := shared(q.name, c.name)
		if !meaningless(front(q.name, n)) || !meaningless(front(c.name, n)) {
			continue
		}
		if n > best {
			best, found = n, nil
		}
		if n == best {
			found = append(found, c.disk)
		}
	}
	return q.settle(found)
}

func (x *Index) indexTails() {
	x.suffixes = map[string][]named{}
	add := func(n named) {
		if key, ok := last(n.name, tail); ok && !slices.Contains(x.suffixes[key], n) {
			x.suffixes[key] = append(x.suffixes[key], n)
		}
	}
	for _, n := range x.base.Names {
		add(named{n, n})
	}
	m := x.own()
	m.build()
	for name, ts := range m.index {
		for _, t := range ts {
			if t.by == nil {
				add(named{name, t.disk})
			}
		}
	}
}

// last returns the last n components of a name.
func last(name string, n int) (string, bool) {
	i := len(name)
	for range n {
		if i <= 0 {
			return "", false
		}
		i = strings.LastIndexByte(name[:i], '.')
	}
	return name[i+1:], true
}

// shared counts the components that two names have in common at their ends.
func shared(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	n := 0
	for n < len(x) && n < len(y) && x[len(x)-1-n] == y[len(y)-1-n] {
		n++
	}
	return n
}

// front lists the components before the last n.
func front(name string, n int) []string {
	parts := strings.Split(name, ".")
	return parts[:len(parts)-n]
}

// wrappers are the components that say nothing about which tensor is meant.
var wrappers = []string{"model", "base_model", "module", "transformer", "backbone", "decoder_model", "base"}

func meaningless(parts []string) bool {
	for _, p := range parts {
		if !slices.Contains(wrappers, p) {
			return false
		}
	}
	return true
}
