package resolve

import (
	"slices"
	"strconv"
	"strings"
)

// Storage says which tensors on disk make up a parameter that is not stored as it is
// in memory, by the operations of transformers' WeightConverter.
type Storage struct {
	// Sources are joined along dimension Join of the parameter, in this order. A
	// source is one tensor or, of a stack, one matrix for each expert.
	Sources [][]string
	Stacked bool // Sources hold matrices, stacked along a new first dimension
	Join    int
	// Swap are two dimensions that change places; equal ones do not. With BySize
	// they do so only where the sizes are not yet those that the model expects.
	Swap   [2]int
	BySize bool
	// Alternating: index 2j+t along Join of the tensor is index t·n/2+j of the parameter.
	Alternating bool
	// Of Parts parts of the joined tensor along Join the parameter is number Part.
	// The parts have one size, unless Unequal: then their sizes are as Shares, or not
	// known where that is nil.
	Part, Parts int
	Unequal     bool
	Shares      []int64
}

// Storage tells how the parameter is stored. ok is false when its operations cannot be
// written as a Storage (rotary permutations).
func (e *ConvertedError) Storage() (s Storage, ok bool) {
	s = Storage{Part: e.Part, Parts: max(e.Parts, 1)}
	sources := bySource(e.made)
	switch ops := e.Operations; {
	case len(ops) == 0:
		return s, false
	case ops[0] == "MergeModulelist(dim=0)" && (len(ops) == 1 && len(sources) == 1 || len(ops) == 2 && ops[1] == "Concatenate(dim=1)"):
		s.Stacked, s.Join = true, 1
	case ops[0] == "ErnieFuseAndSplitTextVisionExperts" && len(ops) == 1:
		s.Stacked, s.Join = true, 1
		for i, names := range sources {
			size := (len(names) + s.Parts - 1) / s.Parts
			first := min(size*s.Part, len(names))
			sources[i] = names[first:min(first+size, len(names))]
		}
		s.Part, s.Parts = 0, 1
	case len(ops) == 1 && (ops[0] == "Concatenate(dim=0)" || ops[0] == "Concatenate(dim=1)"):
		s.Join = dim(ops[0])
	case len(ops) == 1 && ops[0] == "Chunk(dim=0)":
	case len(ops) == 1 && ops[0] == "Split(dim=0)":
		s.Unequal = true
		if len(e.heads) == s.Parts {
			s.Shares = e.heads
		}
	case len(ops) == 1 && strings.HasPrefix(ops[0], "Transpose("):
		s.Swap, s.BySize, ok = swap(ops[0])
		if !ok {
			return s, false
		}
	case ops[0] == "Interleave(dim=0)" || ops[0] == "Interleave(dim=1)":
		s.Join, s.Alternating = dim(ops[0]), true
		if len(ops) > 2 || len(ops) == 2 && (ops[1] != "Chunk(dim="+strconv.Itoa(s.Join)+")" || s.Parts != 2) || len(ops) == 1 && s.Parts != 1 {
			return s, false
		}
	default:
		return s, false
	}
	for _, names := range sources {
		if len(names) == 0 || len(names) > 1 && !s.Stacked {
			return s, false
		}
	}
	s.Sources = sources
	return s, len(sources) > 0
}

func dim(op string) int {
	_, rest, _ := strings.Cut(op, "(dim=")
	n, _ := strconv.Atoi(strings.TrimSuffix(rest, ")"))
	return n
}

// swap reads "Transpose(1, 2, check_dims)".
func swap(op string) (dims [2]int, bySize, ok bool) {
	args := strings.Split(strings.TrimSuffix(strings.TrimPrefix(op, "Transpose("), ")"), ", ")
	if len(args) < 2 {
		return dims, false, false
	}
	var errs [2]error
	for i := range dims {
		dims[i], errs[i] = strconv.Atoi(args[i])
	}
	return dims, len(args) == 3 && args[2] == "check_dims", errs == [2]error{} && len(args) <= 3
}

// bySource sorts disk names by the source pattern that they match, and those of one
// pattern by their numbers, as the loader collects them.
func bySource(made []target) [][]string {
	var sources [][]string
	for _, t := range made {
		for len(sources) <= t.source {
			sources = append(sources, nil)
		}
		sources[t.source] = append(sources[t.source], t.disk)
	}
	sources = slices.DeleteFunc(sources, func(names []string) bool { return len(names) == 0 })
	for _, names := range sources {
		slices.SortFunc(names, natural)
	}
	return sources
}

// natural orders names by component, numbers by value.
func natural(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	return slices.CompareFunc(x, y, func(a, b string) int {
		m, errA := strconv.Atoi(a)
		n, errB := strconv.Atoi(b)
		if errA == nil && errB == nil && m != n {
			return m - n
		}
		return strings.Compare(a, b)
	})
}

// Parameter finds a parameter by its name in memory. from is nil when the tensor
// of the match is the parameter as it is. Errors are those of Find.
func (x *Index) Parameter(module, param string) (m Match, from *ConvertedError, err error) {
	m, err = x.Find(module, param)
	if err != nil {
		return m, nil, err
	}
	// A disk name may be a name in memory too, and yet go through a conversion.
	own := x.own()
	own.build()
	if _, ok := own.input[m.Name]; !ok || m.Tied {
		return m, nil, nil
	}
	runtime := own.disk[m.Name]
	if made := own.index[runtime]; len(made) > 0 && made[0].by != nil && own.disk[made[0].disk] == runtime {
		return m, converted(module, param, made), nil
	}
	return m, nil, nil
}

// Stacked tells whether the loader makes the tensor one of a stack of experts: the
// module that it was in earlier releases is none any more.
func (x *Index) Stacked(disk string) bool {
	own := x.own()
	own.build()
	for _, t := range own.index[own.disk[disk]] {
		if t.disk == disk && t.by != nil {
			return t.by.stacks()
		}
	}
	return false
}

func (r *rule) stacks() bool {
	return len(r.Ops) > 0 && (strings.HasPrefix(r.Ops[0], "MergeModulelist") || strings.HasPrefix(r.Ops[0], "ErnieFuse"))
}

// Expert is a module of one expert, as part of the stack that it is in memory today.
type Expert struct {
	Module, Param string // the stack
	Number        int    // of the expert
	// The expert's matrix is number Source of Sources that make up its matrix in the
	// stack: gate and up of gate_up_proj. Alternating: by single rows or columns.
	Source, Sources int
	Alternating     bool
	ByRule          bool // by a rule of the base's class, not by names alone; such join rows
}

// Expert tells of which stack the weight of a module is one expert's, by the rules of
// the base's class or else by the customary names of projections.
func (x *Index) Expert(module, param string) (e Expert, ok bool) {
	if e.Number, ok = lastNumber(module); !ok {
		return e, false
	}
	own := x.own()
	runtime := own.canonical(join(module, param), nil)
	for _, r := range own.converts {
		if names, source := r.convert(runtime); len(names) == 1 && r.stacks() {
			dot := strings.LastIndexByte(names[0], '.')
			e.Module, e.Param, e.Source, e.Sources = names[0][:max(dot, 0)], names[0][dot+1:], source, r.Sources
			e.ByRule = true
			return e, true
		}
	}
	return x.customary(e, module, param)
}

// projections are the names that per-expert modules have had, and what of the stack
// each is.
var projections = map[string]Expert{
	"gate_proj": {Param: "gate_up_proj", Source: 0, Sources: 2}, "w1": {Param: "gate_up_proj", Source: 0, Sources: 2},
	"up_proj": {Param: "gate_up_proj", Source: 1, Sources: 2}, "w3": {Param: "gate_up_proj", Source: 1, Sources: 2},
	"down_proj": {Param: "down_proj", Sources: 1}, "w2": {Param: "down_proj", Sources: 1},
}

func (x *Index) customary(e Expert, module, param string) (Expert, bool) {
	parts := strings.Split(module, ".")
	n := len(parts)
	if n < 3 || param != "weight" || parts[n-2] != strconv.Itoa(e.Number) {
		return e, false
	}
	p, ok := projections[parts[n-1]]
	b, known := x.Bare(parts[n-3])
	if !ok || !known || !slices.Contains(b.Params, p.Param) {
		return e, false
	}
	p.Module, p.Number = strings.Join(parts[:n-2], "."), e.Number
	p.Alternating = b.Alternating && p.Sources > 1
	return p, true
}

// lastNumber is the last component of a module's name that is a number.
func lastNumber(module string) (int, bool) {
	for _, p := range slices.Backward(strings.Split(module, ".")) {
		if n, err := strconv.Atoi(p); err == nil && n >= 0 {
			return n, true
		}
	}
	return 0, false
}

// Bare describes a module whose matrices are parameters of its own and no layer's: a
// stack of experts, a router.
type Bare struct {
	Params      []string `json:"p"` // in the order of registration
	Transposed  bool     `json:"t"` // of a stack: [experts, in, out], by the module's own account
	Alternating bool     `json:"i"` // of a stack: gate and up alternate in gate_up_proj
}

// Bare looks up the module by the last component of its name in the base's class.
// known is false when the class has no such module or is not in the tables.
func (x *Index) Bare(module string) (b Bare, known bool) {
	leaf := module[strings.LastIndexByte(module, '.')+1:]
	for _, p := range x.own().parts {
		if p.info == nil {
			continue
		}
		if b, known = p.info.Bare[leaf]; known {
			return b, true
		}
	}
	return b, false
}
