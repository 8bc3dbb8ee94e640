package transform

import "lorafs/safetensors"

// VeRA adds (λb∘B)·(λd∘A), where all layers share A and B and take the rows and
// columns that they need (peft tuners/vera/layer.py:214 @0.21.2). PVeRA has twice as
// many rows of A and of λd: the second half is of the noise that a merge leaves out
// (peft tuners/pvera/layer.py:243 @0.21.2).
type VeRA struct {
	Type             string
	Rank             int64
	A, B             *safetensors.Tensor // [Rank or more, most inputs], [most outputs, Rank]
	LambdaB, LambdaD *safetensors.Tensor // [out], [Rank or more]
	Class            Class
}

var _ Transform = VeRA{}

// Describe implements Transform.
func (v VeRA) Describe() Description {
	return Description{Type: v.Type, Rank: int(v.Rank), Scaling: 1}
}

// Tensors implements Transform.
func (v VeRA) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{v.LambdaD, v.A, v.LambdaB, v.B}
}

func (v VeRA) factors(out, in int64) Factors {
	return Factors{
		Type: v.Type, Scale: 1, Class: v.Class,
		A: ScaledRows{Part{Vector{v.LambdaD}, v.Rank, 1}, Part{Stored{v.A}, v.Rank, in}},
		B: ScaledRows{Vector{v.LambdaB}, Part{Stored{v.B}, out, v.Rank}},
	}
}

// Range implements Ranged.
func (v VeRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return v.factors(0, 0).Range(norm)
}

// Bind implements Transform.
func (v VeRA) Bind(p Param, r Rounding) (Bound, error) {
	out, in := p.sides(product(v.LambdaB.Shape))
	return v.factors(out, in).Bind(p, r)
}
