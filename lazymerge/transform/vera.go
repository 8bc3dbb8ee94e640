package transform

import "lorafs/safetensors"

// VeRA adds (λb∘B)·(λd∘A), where all layers share A and B and take the rows and
// columns that they need (peft tuners/vera/layer.py:214 @0.21.2).
type VeRA struct {
	A, B             *safetensors.Tensor // [r, most inputs], [most outputs, r]
	LambdaB, LambdaD *safetensors.Tensor // [out], [r]
	Class            Class
}

var _ Transform = VeRA{}

// Describe implements Transform.
func (v VeRA) Describe() Description {
	return Description{Type: "vera", Rank: int(product(v.LambdaD.Shape)), Scaling: 1}
}

// Tensors implements Transform.
func (v VeRA) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{v.LambdaD, v.A, v.LambdaB, v.B}
}

func (v VeRA) factors(out, in int64) Factors {
	rank := product(v.LambdaD.Shape)
	return Factors{
		Type: "vera", Scale: 1, Class: v.Class,
		A: ScaledRows{Vector{v.LambdaD}, Part{Stored{v.A}, rank, in}},
		B: ScaledRows{Vector{v.LambdaB}, Part{Stored{v.B}, out, rank}},
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
