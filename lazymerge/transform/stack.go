package transform

import "lorafs/safetensors"

// Stack is the low-rank change of bare parameters of one module: PEFT's
// target_parameters, for stacks of experts and for routers. The keys of such an
// adapter name the module and nest once for each parameter; which parameter a level is
// for, how many experts it has and which way round the factors lie, the base tells.
// Bind refuses: a Stack is split into Shares first.
type Stack struct {
	Levels  []Level      // innermost first, which is the order that the module registers its parameters in
	Params  []StackParam // that the config may mean, sorted by name
	Grouped bool         // B's columns are sorted by expert, see Share
	Layout  StackLayout
	Plain   Transform // what it is if the module has none of Params: a layer's; nil when it cannot be
}

// Level is the factors for one parameter.
type Level struct{ A, B *safetensors.Tensor }

// StackParam is a parameter of the module and the config's settings for it.
type StackParam struct {
	Name  string
	Rank  int64 // of one expert
	Field string
	Scale float64
}

var _ Transform = Stack{}

// Describe implements Transform.
func (s Stack) Describe() Description { return Description{Type: "lora"} }

// Tensors implements Transform.
func (s Stack) Tensors() []*safetensors.Tensor {
	var all []*safetensors.Tensor
	for _, l := range s.Levels {
		all = append(all, l.A, l.B)
	}
	return all
}

// Bind implements Transform.
func (s Stack) Bind(p Param, _ Rounding) (Bound, error) {
	return nil, &LayerError{Tensor: p.Name, Transform: "a stack of adapters", Layer: Parameter}
}

// StackLayout says which sides of a stack's matrices the factors are for, which
// depends on the release of PEFT (peft #3165). It matters only for square matrices.
type StackLayout uint8

// The layouts, of a parameter [experts, d1, d2].
const (
	LayoutUnknown       StackLayout = iota
	LayoutInOut                     // A for d1, B for d2: before 0.19.0
	LayoutSwapTurned                // B for d1, A for d2 if the module says is_transposed: 0.19.0
	LayoutSwapNotTurned             // the same if it does not: from 0.19.1
)

// Swapped tells whether B is for d1 and A for d2. known is false when it depends on
// what is not known.
func (l StackLayout) Swapped(transposed, moduleKnown bool) (swapped, known bool) {
	switch l {
	case LayoutInOut:
		return false, true
	case LayoutSwapTurned:
		return transposed, moduleKnown
	case LayoutSwapNotTurned:
		return !transposed, moduleKnown
	}
	return false, false
}

// ExpertOrder is the order of the columns of a stack's B.
type ExpertOrder uint8

// The orders. Adapters that unsloth trained until 2026-09 are grouped and do not say
// so.
const (
	OrderByConfig ExpertOrder = iota // as lora_B_layout says, else RankMajor
	RankMajor                        // column k·E+e is rank k of expert e, as PEFT reads
	ByExpert                         // column e·r+k
)
