package diffusion

import (
	"slices"
	"strconv"
	"strings"
)

// piece is a tensor that holds rows of a module's parameter. Its name is stem and
// the parameter's name.
type piece struct {
	stem   string
	rows   Rows
	turned bool
}

// entry is what a name of a module means.
type entry struct {
	pieces []piece
	how    string
}

// table maps every name of every module of a region to the region's tensors.
type table struct {
	prefix  string
	shapes  map[string][]int64 // by tensor name without prefix
	modules map[string]string  // the region's own modules: name → stem
	byName  map[string]entry
	flat    map[string][]string // underscores → names
}

// params are the last components of names that are not part of the module's.
var params = map[string]bool{"weight": true, "bias": true, "scale": true}

// split takes a tensor's name apart. A parameter without such a last component is
// its own module (a table of positions), whose parameter is "".
func split(tensor string) (module, stem string) {
	for _, fused := range []string{"in_proj_weight", "in_proj_bias"} {
		if rest, ok := strings.CutSuffix(tensor, "."+fused); ok {
			return rest + ".in_proj", rest + ".in_proj_"
		}
	}
	if dot := strings.LastIndexByte(tensor, '.'); dot >= 0 && params[tensor[dot+1:]] {
		return tensor[:dot], tensor[:dot+1]
	}
	return tensor, tensor
}

func newTable(r *region) *table {
	t := &table{
		prefix: r.prefix, shapes: make(map[string][]int64), modules: make(map[string]string),
		byName: make(map[string]entry), flat: make(map[string][]string),
	}
	for _, tensor := range r.tensors {
		name := tensor.Name[len(r.prefix):]
		t.shapes[name] = tensor.Shape
		module, stem := split(name)
		t.modules[module] = stem
	}
	for module, stem := range t.modules {
		t.byName[module] = entry{[]piece{{stem: stem}}, "exact"}
	}
	t.rename(t.unetNames())
	for _, f := range families {
		if f.fits(t) {
			t.relate(f.relations)
			t.turn(f.turned)
		}
	}
	for name := range t.byName {
		key := flatten(name)
		t.flat[key] = append(t.flat[key], name)
	}
	return t
}

// turn notes which modules are stored as transposes: each as a tensor of its own name.
func (t *table) turn(modules []string) {
	for _, m := range modules {
		if t.modules[m] == m {
			t.byName[m] = entry{[]piece{{stem: m, turned: true}}, "exact"}
		}
	}
}

// add gives a module one more name. The disk's own names are never hidden.
func (t *table) add(name string, pieces ...piece) {
	if _, taken := t.byName[name]; !taken {
		t.byName[name] = entry{pieces, "renamed"}
	}
}

// rename adds names that mean whole modules of the region.
func (t *table) rename(names map[string]string) {
	for name, module := range names {
		t.add(name, piece{stem: t.modules[module]})
	}
}

// find looks a module up and checks that the parameter is there.
func (t *table) find(module, param string, flat bool) (places []Place, several []string) {
	names := []string{module}
	if flat {
		names = t.flat[module]
	}
	var found []string
	for _, name := range names {
		e, ok := t.byName[name]
		if !ok {
			continue
		}
		p := t.place(e, param)
		switch {
		case p == nil:
			continue
		case places == nil || slices.EqualFunc(places, p, samePlace) && e.how == "exact":
			places = p
		case !slices.EqualFunc(places, p, samePlace):
			return nil, append(found, p[0].Tensor)
		}
		found = append(found, p[0].Tensor)
	}
	return places, nil
}

// samePlace tells whether two names, of which one may be the tensor's own, mean the same.
func samePlace(a, b Place) bool {
	a.How, b.How = "", ""
	return a == b
}

// place turns an entry into places of a parameter, nil when a tensor is missing.
func (t *table) place(e entry, param string) []Place {
	var places []Place
	for _, p := range e.pieces {
		name := p.stem + param
		switch {
		case t.has(name):
		case param == "weight" && t.has(p.stem+"scale"): // the name that some norms give it
			name = p.stem + "scale"
		case param == "weight" && t.has(p.stem): // a parameter that is its own module
			name = p.stem
		default:
			return nil
		}
		places = append(places, Place{Tensor: t.prefix + name, Rows: p.rows, How: e.how, Turned: p.turned})
	}
	return places
}

func (t *table) has(tensor string) bool {
	_, ok := t.shapes[tensor]
	return ok
}

func flatten(name string) string { return strings.ReplaceAll(name, ".", "_") }

// size is the shape of a module's weight seen as a matrix.
func (t *table) size(module string) (rows, cols int64) {
	shape := t.shapes[t.modules[module]+"weight"]
	if len(shape) == 0 {
		return 0, 0
	}
	cols = 1
	for _, d := range shape[1:] {
		cols *= d
	}
	return shape[0], cols
}

// match compares a name with a pattern component by component; "{}" stands for a
// number, which is returned.
func match(pattern, name string) (number string, ok bool) {
	for {
		p, patternRest, more := strings.Cut(pattern, ".")
		n, nameRest, moreName := strings.Cut(name, ".")
		switch {
		case p == "{}":
			if _, err := strconv.Atoi(n); err != nil {
				return "", false
			}
			number = n
		case p != n:
			return "", false
		}
		if more != moreName {
			return "", false
		}
		if !more {
			return number, true
		}
		pattern, name = patternRest, nameRest
	}
}

func fill(pattern, number string) string { return strings.Replace(pattern, "{}", number, 1) }
