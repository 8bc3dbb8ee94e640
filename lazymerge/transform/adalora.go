package transform

import (
	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// AdaLoRA adds B·(A∘E)·Scale/(Rank + 1e-5) (peft tuners/adalora/layer.py:168 @0.21.2).
// Rank is that before training, whatever was pruned since.
type AdaLoRA struct {
	A, B, E *safetensors.Tensor // [r, in], [out, r], [r, 1]
	Scale   float64
	Rank    int64
	// InDType: PEFT has made the parameters of a pruned module anew in the base's dtype
	// before it filled them, so that their values were rounded to it.
	InDType bool
	Class   Class
}

var _ Transform = AdaLoRA{}

// Describe implements Transform.
func (a AdaLoRA) Describe() Description { return a.factors().Describe() }

// Tensors implements Transform.
func (a AdaLoRA) Tensors() []*safetensors.Tensor { return a.factors().Tensors() }

// Range implements Ranged.
func (a AdaLoRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return a.factors().Range(norm)
}

func (a AdaLoRA) factors() Factors {
	return Factors{
		Type: "adalora", Scale: a.Scale / (float64(a.Rank) + 1e-5), Class: a.Class,
		A: ScaledRows{Vector{a.E}, Stored{a.A}}, B: Stored{a.B},
	}
}

// Bind implements Transform.
func (a AdaLoRA) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	f := a.factors()
	if a.InDType && dtype != kernel.F32 {
		f.A = ScaledRows{Rounded{Vector{a.E}, dtype}, Rounded{Stored{a.A}, dtype}}
		f.B = Rounded{f.B, dtype}
	}
	return f.Bind(p, r)
}
