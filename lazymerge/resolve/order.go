package resolve

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// orders has a line for each class: the tree of its modules in their order, see
// gen/order.py.
//
//go:embed order.txt
var orders string

var orderLines = sync.OnceValue(func() map[string]string { return split(orders) })

// OrderError says that the order of the base's modules is not known.
type OrderError struct {
	Module string // one whose place is not known
	Class  string // of the base, "" when not known
}

func (e *OrderError) Error() string {
	if e.Class == "" {
		return fmt.Sprintf("the place of %q among the model's modules is not known: neither is the model's class", e.Module)
	}
	return fmt.Sprintf("the place of %q among the modules of %s is not known", e.Module, e.Class)
}

// Places gives each module its place among those given, in the order of the
// model's named_modules. Errors: *OrderError.
func (x *Index) Places(modules []string) ([]int, error) {
	var first error
	for _, m := range x.all() {
		places, err := m.places(modules)
		if err == nil {
			return places, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (m *mapping) places(modules []string) ([]int, error) {
	type placed struct {
		at  int
		key []step
	}
	t := orderTrees{}
	all := make([]placed, len(modules))
	for i, name := range modules {
		key, ok := t.key(m, name)
		if !ok {
			return nil, &OrderError{Module: name, Class: m.class}
		}
		all[i] = placed{i, key}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return slices.CompareFunc(a.key, b.key, step.compare) })
	places := make([]int, len(modules))
	for place, p := range all {
		places[p.at] = place
	}
	return places, nil
}

// orderTree is a module: its children in their order.
type orderTree struct {
	names []string // "#" is all numbers of a list
	below []*orderTree
	model bool // a model of a class of its own, whose tree is elsewhere
}

// step is a component of a module's name: the place of the child, and its number in a
// list.
type step struct{ place, number int }

func (s step) compare(t step) int {
	if s.place != t.place {
		return s.place - t.place
	}
	return s.number - t.number
}

// orderTrees are the trees of classes, made when they are needed.
type orderTrees map[string]*orderTree

func (t orderTrees) of(class string) *orderTree {
	if tree, ok := t[class]; ok {
		return tree
	}
	line := orderLines()[class]
	if same, ok := strings.CutPrefix(line, "="); ok {
		line = orderLines()[same]
	}
	tree := &orderTree{}
	parseOrder(line, tree)
	t[class] = tree
	return tree
}

// parseOrder adds the children that text lists, up to the end of its parenthesis, and
// returns what follows.
func parseOrder(text string, into *orderTree) string {
	for text != "" && text[0] != ')' {
		end := strings.IndexAny(text, " (@)")
		if end < 0 {
			end = len(text)
		}
		child := &orderTree{}
		into.names, into.below = append(into.names, text[:end]), append(into.below, child)
		text = text[end:]
		switch {
		case strings.HasPrefix(text, "("):
			text = strings.TrimPrefix(parseOrder(text[1:], child), ")")
		case strings.HasPrefix(text, "@"):
			child.model, text = true, text[1:]
		}
		text = strings.TrimPrefix(text, " ")
	}
	return text
}

// key is where a module stands. ok is false when the class has no such module.
func (t orderTrees) key(m *mapping, module string) (key []step, ok bool) {
	tree := t.of(m.class)
	components := strings.Split(module, ".")
	for i, name := range components {
		number, err := strconv.Atoi(name)
		if err == nil {
			name = "#"
		}
		place := slices.Index(tree.names, name)
		if place < 0 {
			return nil, false
		}
		key = append(key, step{place, number})
		if tree = tree.below[place]; !tree.model {
			continue
		}
		path := strings.Join(components[:i+1], ".")
		at := slices.IndexFunc(m.parts, func(p part) bool { return p.path == path })
		if at < 0 {
			return nil, false
		}
		tree = t.of(m.parts[at].class)
	}
	return key, true
}

// Modules lists the modules of the base's class whose weights have two dimensions or
// more and are on disk or tied to one that is, in the order of named_modules. It is
// empty when the class is not known. Unplaced are the others with a weight on disk, sorted.
func (x *Index) Modules() (placed, unplaced []string) {
	m := x.own()
	m.build()
	t := orderTrees{}
	seen := make(map[string]bool)
	var names []string
	add := func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		if _, ok := t.key(m, name); ok {
			names = append(names, name)
		} else {
			unplaced = append(unplaced, name)
		}
	}
	for runtime := range m.index {
		if name, ok := strings.CutSuffix(runtime, ".weight"); ok {
			add(name)
		}
	}
	for i, name := range t.of(m.class).names { // a tied head has no tensor
		if below := t.of(m.class).below[i]; !below.model && len(below.names) == 0 {
			add(name)
		}
	}
	slices.Sort(unplaced)
	places, err := m.places(names)
	if err != nil {
		return nil, unplaced
	}
	sorted := make([]string, len(names))
	for i, p := range places {
		sorted[p] = names[i]
	}
	return sorted, unplaced
}

// Class is the class that the base was saved from, "" when it is not known.
func (x *Index) Class() string { return x.own().class }
