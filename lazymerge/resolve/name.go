package resolve

import (
	"slices"
	"strings"
)

// NewName is the disk-style name of a parameter that the base lacks.
func (x *Index) NewName(module, param string) string {
	m := x.own()
	m.build()
	return x.diskName(m, m.canonical(join(module, param), nil))
}

// Loaded lists the parameters that the tensor becomes a part of when the class that the
// base was saved from loads it: its own name where no rule changes it.
func (x *Index) Loaded(disk string) []string {
	own := x.own()
	own.build()
	runtime, ok := own.disk[disk]
	if !ok {
		return []string{disk}
	}
	for _, t := range own.index[runtime] {
		if t.parts > 1 && t.disk == disk {
			names, _ := t.by.convert(own.input[disk])
			return names
		}
	}
	return []string{runtime}
}

// Root tells whether the module is one that classes have a model under: "model", "bert".
func (x *Index) Root(module string) bool {
	x.all()
	return slices.Contains(x.prefixes, module)
}

// diskName spells a runtime name as the base's other tensors are spelled: it
// reverts the rules as save_pretrained does, except those that would give it
// another style than its neighbours have.
func (x *Index) diskName(m *mapping, name string) string {
	m.backOnce.Do(m.findBack)
	on := true
	for _, r := range m.back {
		name, _ = r.rename(&r.Reverse, -r.Offset, name, &on)
	}
	return name
}

// findBack lists the rules that a new name is reverted by, in order.
func (m *mapping) findBack() {
	verdicts := map[int]bool{}
	for _, r := range slices.Backward(m.renames) {
		if m.used[r] {
			m.back = append(m.back, r)
			continue
		}
		if r.Kind == "prefix" || r.list == m.legacy {
			continue
		}
		v, ok := verdicts[r.list]
		if !ok {
			v = m.diskStyle(r.list)
			verdicts[r.list] = v
		}
		if v {
			m.back = append(m.back, r)
		}
	}
}

// diskStyle reports whether the base is in the style that the rules of a list
// rename from. When no name tells, it is: transformers saves so.
func (m *mapping) diskStyle(list int) bool {
	contrary := false
	for _, r := range m.renames {
		if r.list != list {
			continue
		}
		if m.used[r] {
			return true
		}
		contrary = contrary || m.runtimeStyle(r)
	}
	return !contrary
}

// runtimeStyle reports whether some disk name already has what the rule makes.
func (m *mapping) runtimeStyle(r *rule) bool {
	on := true
	for d, n := range m.disk {
		if d != n {
			continue
		}
		if _, ok := r.rename(&r.Reverse, -r.Offset, n, &on); ok {
			return true
		}
	}
	return false
}

// TaskNames says what the base's tensors are called in a checkpoint of class: the
// name there, or false when that class has no such parameter. The names stay as
// they are when the class is the base's own or is not in the tables.
func (x *Index) TaskNames(class string) func(disk string) (string, bool) {
	info := classOf(class)
	if info == nil || info.Roots == nil || slices.Contains(x.base.Architectures, class) {
		return func(disk string) (string, bool) { return disk, true }
	}
	m := x.newMapping(class)
	m.build()
	return func(disk string) (string, bool) {
		runtime, ok := m.disk[disk]
		if !ok {
			return disk, true
		}
		fitted, ok := m.fit(runtime)
		if !ok {
			return "", false
		}
		if fitted == runtime {
			return disk, true
		}
		if input, ok := m.input[disk]; ok {
			// The many tensors that a conversion makes one of keep their own names.
			if fitted, ok = m.fit(input); !ok {
				return "", false
			}
		}
		return x.diskName(m, fitted), true
	}
}

// fit strips or adds the base model's prefix so that the name is one of the
// class, as the loader does.
func (m *mapping) fit(name string) (string, bool) {
	prefix := m.parts[0].info.Prefix
	if rest, ok := under(name, prefix); ok && prefix != "" && m.owns(rest) {
		return rest, true
	}
	if n := prefix + "." + name; prefix != "" && m.owns(n) {
		return n, true
	}
	return name, m.owns(name)
}

// owns reports whether the class has parameters that begin like the name.
func (m *mapping) owns(name string) bool {
	info := m.parts[0].info
	first, rest, _ := strings.Cut(name, ".")
	if !slices.Contains(info.Roots, first) {
		return false
	}
	base := info.Base
	if first == info.Prefix && base == nil {
		for _, p := range m.parts[1:] {
			if p.path == first && p.info != nil {
				base = p.info.Roots
			}
		}
	}
	if first != info.Prefix || base == nil {
		return true
	}
	second, _, _ := strings.Cut(rest, ".")
	return slices.Contains(base, second)
}

// Conv1D reports whether the module is a transformers Conv1D, whose weight is
// stored [in, out].
func (x *Index) Conv1D(module string) bool {
	leaf := module[strings.LastIndexByte(module, '.')+1:]
	for _, p := range x.own().parts {
		if p.info != nil && slices.Contains(p.info.Conv1D, leaf) {
			return true
		}
	}
	return false
}
