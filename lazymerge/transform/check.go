package transform

import (
	"slices"

	"lorafs/safetensors"
)

// Checked is a Transform that holds its tensors against each other before it meets a
// parameter: what they contradict each other in is no fault of the base.
type Checked interface {
	Transform
	// Check looks at shapes and dtypes. Errors: *ShapeError, *DTypeError.
	Check() error
}

// Check says why the tensors of a transform make no edit of any parameter. It finds
// nothing that Bind would not find. Errors: *ShapeError, *DTypeError.
func Check(t Transform) error {
	if c, ok := t.(Checked); ok {
		return c.Check()
	}
	return nil
}

var (
	_ Checked = LowRank{}
	_ Checked = DoRA{}
	_ Checked = Factors{}
	_ Checked = Addition{}
	_ Checked = Weightwise{}
	_ Checked = AdaLoRA{}
	_ Checked = DeLoRA{}
	_ Checked = HiRA{}
	_ Checked = GLoRA{}
	_ Checked = GLoRABias{}
	_ Checked = Rebased{}
	_ Checked = Stack{}
)

// Check implements Checked.
func (l LowRank) Check() error {
	if err := needFloats(l.A, l.B); err != nil {
		return err
	}
	if err := pairFactors(l.Layer, l.A, l.B); err != nil {
		return err
	}
	return nil
}

// Check implements Checked. The magnitude has an element for each output.
func (d DoRA) Check() error {
	if err := needFloats(d.Magnitude); err != nil {
		return err
	}
	if err := d.LowRank.Check(); err != nil {
		return err
	}
	if out := d.B.Shape[0]; product(d.Magnitude.Shape) != out {
		return contradiction(d.Magnitude, d.B, []int64{out})
	}
	return nil
}

// Check implements Checked.
func (f Factors) Check() error { return Product{f.B, f.A}.Check() }

// Check implements Checked.
func (a Addition) Check() error { return a.Delta.Check() }

// Check implements Checked. A2 is of the shape of A1 turned.
func (x Weightwise) Check() error {
	if err := x.Addition.Check(); err != nil {
		return err
	}
	if err := (Stored{x.A1}).Check(); err != nil {
		return err
	}
	in, rank := flatten(x.A1.Shape)
	if rows, cols := flatten(x.A2.Shape); rows != rank || cols != in {
		return contradiction(x.A2, x.A1, []int64{rank, in})
	}
	return needFloats(x.A2)
}

// Check implements Checked.
func (a AdaLoRA) Check() error { return a.factors().Check() }

// Check implements Checked.
func (d DeLoRA) Check() error { return d.factors().Check() }

// Check implements Checked.
func (h HiRA) Check() error { return Product{Stored{h.B}, Stored{h.A}}.Check() }

// Check implements Checked.
func (x GLoRA) Check() error {
	if err := x.A.check(); err != nil {
		return err
	}
	return x.B.check()
}

// Check implements Checked.
func (x GLoRABias) Check() error { return x.C.check() }

// Check implements Checked.
func (x Rebased) Check() error { return Check(x.Then) }

// Check implements Checked. The factors of all experts have the rank as one dimension.
func (s Stack) Check() error {
	for _, l := range s.Levels {
		if len(l.A.Shape) == 2 && len(l.B.Shape) == 2 && l.A.Shape[0] != l.B.Shape[1] {
			return contradiction(l.B, l.A, []int64{-1, l.A.Shape[0]})
		}
	}
	return nil
}

// check holds the two factors of a path against each other.
func (x Path) check() error {
	if x.Down == nil {
		return nil
	}
	return Product{Stored{x.Down}, Stored{x.Up}}.Check()
}

// pairFactors says whether a and b are factors of one rank.
func pairFactors(k Kind, a, b *safetensors.Tensor) *ShapeError {
	rank, _, _ := matrix(a, k)
	if len(a.Shape) < 2 {
		return &ShapeError{Other: a.Name, Got: a.Shape, Want: []int64{-1, -1}}
	}
	_, n, ok := matrix(b, k)
	if !ok || n != rank || k == Conv && !ones(b.Shape, 2) {
		e := contradiction(b, a, []int64{-1, rank})
		if k == Conv && ones(b.Shape, 2) {
			e.Groups = groups(a, b)
		}
		return e
	}
	return nil
}

// groups is of how many groups a convolution is for which PEFT makes such factors: A is
// for all inputs, and B, which has the groups, for a part of the rank each (peft
// tuners/lora/layer.py:1627 @0.21.2). 0 for none.
func groups(a, b *safetensors.Tensor) int64 {
	rank, part := a.Shape[0], b.Shape[1]
	if len(a.Shape) < 3 || part == 0 || rank == part || rank%part != 0 {
		return 0
	}
	n := rank / part
	if a.Shape[1]%n != 0 || b.Shape[0]%n != 0 {
		return 0
	}
	return n
}

// depthwise is the number of groups of a convolution whose every channel is one, where A is
// for all of its inputs; else 0.
func depthwise(p Param, k Kind, a *safetensors.Tensor) int64 {
	if k != Conv || len(p.Shape) < 3 || len(a.Shape) != len(p.Shape) || p.Shape[1] != 1 || p.Shape[0] == 1 {
		return 0
	}
	if a.Shape[1] != p.Shape[0] || !slices.Equal(a.Shape[2:], p.Shape[2:]) {
		return 0
	}
	return a.Shape[1]
}

// contradiction says that a tensor has another shape than one beside it asks for.
func contradiction(t, beside *safetensors.Tensor, want []int64) *ShapeError {
	return &ShapeError{Other: t.Name, Got: t.Shape, Want: want, Beside: beside.Name, BesideShape: beside.Shape}
}
