package diffusion

import (
	"slices"
	"sync"

	"lorafs/lazymerge/resolve"
)

// Tensor is a base tensor.
type Tensor struct {
	Name  string
	Shape []int64
}

// Component is one directory of weights of the base.
type Component struct {
	Dir     string // in the pipeline, "" for a base that is none
	Tensors []Tensor
}

// Place is where some or all rows of an adapter's parameter lie in the base.
type Place struct {
	Component int // index in what New was given
	Tensor    string
	Rows      Rows
	How       string // "exact" or "renamed"
	Turned    bool   // the tensor is the transpose of the parameter
}

// Rows says which rows of a tensor are which rows of a parameter: [First,
// First+Count) of the tensor are [From, From+Count) of a parameter of Whole rows.
// The zero value means that the tensor is the parameter.
type Rows struct{ First, Count, From, Whole int64 }

// Index answers questions about one base. Its methods may be called concurrently.
type Index struct {
	regions []*region
}

// New prepares an index. The work is done when questions come.
func New(components []Component) *Index {
	x := &Index{}
	for i, c := range components {
		x.regions = append(x.regions, regions(i, c)...)
	}
	return x
}

// Find returns where the parameter of a module lies. part is what the adapter calls
// the component, "" when it does not say; flat says that module has underscores in
// place of dots. Errors: *resolve.NotFoundError, *resolve.AmbiguousError.
func (x *Index) Find(part, module, param string, flat bool) ([]Place, error) {
	for _, regions := range x.candidates(part) {
		var found []Place
		for _, r := range regions {
			places, several := r.find(module, param, flat)
			if several != nil {
				return nil, &resolve.AmbiguousError{Module: module, Param: param, Candidates: several}
			}
			if places != nil && found != nil {
				return nil, &resolve.AmbiguousError{Module: module, Param: param, Candidates: []string{found[0].Tensor, places[0].Tensor}}
			}
			if places != nil {
				found = places
			}
		}
		if found != nil {
			return found, nil
		}
	}
	return nil, &resolve.NotFoundError{Module: module, Param: param, Nearest: x.nearest(part, module, param, flat)}
}

// candidates are the regions that a part's name may mean, the likelier first.
func (x *Index) candidates(part string) [][]*region {
	role := roleOf(part)
	var named, meant, open []*region
	for _, r := range x.regions {
		switch {
		case part != "" && r.dir == part:
			named = append(named, r)
		case slices.Contains(r.roles, role):
			meant = append(meant, r)
		}
		open = append(open, r)
	}
	switch {
	case named != nil:
		return [][]*region{named}
	case part == "" && meant != nil:
		return [][]*region{meant, open}
	case part == "":
		return [][]*region{open}
	}
	return [][]*region{meant}
}

// Components lists the components that a part's name may mean: those in which a
// module may be looked for by other rules as well.
func (x *Index) Components(part string) []int {
	var list []int
	for _, regions := range x.candidates(part) {
		for _, r := range regions {
			if r.prefix == "" && !slices.Contains(list, r.component) {
				list = append(list, r.component)
			}
		}
	}
	return list
}

// Lacks tells whether the base is known to have no component that a part's name means.
func (x *Index) Lacks(part string) bool {
	role := roleOf(part)
	if part == "" || part == "transformer" { // a language model's layers may be under it
		return false
	}
	for _, regions := range x.candidates(part) {
		for _, r := range regions {
			if r.dir != "" || r.prefix != "" || r.may(role) {
				return false
			}
		}
	}
	return true
}

// nearest names base tensors that look like the parameter.
func (x *Index) nearest(part, module, param string, flat bool) []string {
	tensors := make(map[string]string) // as spelled in the adapter → in the base
	var names []string
	for _, regions := range x.candidates(part) {
		for _, r := range regions {
			for _, t := range r.tensors {
				n := t.Name[len(r.prefix):]
				if flat {
					n = flatten(n)
				}
				tensors[n] = t.Name
				names = append(names, n)
			}
		}
	}
	name := module + "." + param
	if flat {
		name = flatten(name)
	}
	var out []string
	for _, n := range resolve.Nearest(name, names) {
		out = append(out, tensors[n])
	}
	return out
}

// region is a run of tensors with a common prefix that is one model: a component of
// a pipeline, or a part of a checkpoint that holds several.
type region struct {
	component int
	dir       string
	prefix    string // before every name, with its dot
	roles     []string
	tensors   []Tensor

	once  sync.Once
	table *table
}

// find returns the places of a parameter, or the candidates when several modules
// have that name.
func (r *region) find(module, param string, flat bool) (places []Place, several []string) {
	r.once.Do(func() { r.table = newTable(r) })
	for _, name := range r.spellings(module, flat) {
		places, several = r.table.find(name, param, flat)
		if places != nil || several != nil {
			break
		}
	}
	for i := range places {
		places[i].Component = r.component
	}
	return places, several
}

// spellings adds or drops the prefix of transformers' CLIP text models, which some
// releases write and others do not.
func (r *region) spellings(module string, flat bool) []string {
	const prefix = "text_model"
	sep := "."
	if flat {
		sep = "_"
	}
	if len(module) > len(prefix) && module[:len(prefix)+1] == prefix+sep {
		return []string{module, module[len(prefix)+1:]}
	}
	return []string{module, prefix + sep + module}
}
