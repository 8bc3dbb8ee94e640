package transform

import (
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// RoAd turns and stretches pairs of outputs: of each group of Group outputs the first
// half and the second are paired, and y = c₁∘x + c₂∘(−x₂, x₁), where c₁ = α·cos θ and
// c₂ = α·sin θ are rounded to the dtype of the weight (peft tuners/road/layer.py:228
// and 325 @0.21.2, whose product in that dtype adds up in fp32). A bias turns as well.
type RoAd struct {
	Theta, Alpha *safetensors.Tensor // [out/2], [out] or [2·out], by variant
	Variant      RoAdVariant
	Group        int64
}

// RoAdVariant says which outputs share an angle and a length.
type RoAdVariant int

// The variants.
const (
	RoAd1 RoAdVariant = 1 // the two of a pair
	RoAd2 RoAdVariant = 2 // none
	RoAd4 RoAdVariant = 4 // none, and c₁ and c₂ have their own
)

var _ Transform = RoAd{}

// Describe implements Transform.
func (x RoAd) Describe() Description { return Description{Type: "road"} }

// Tensors implements Transform.
func (x RoAd) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{x.Theta, x.Alpha} }

// Range implements Ranged.
func (x RoAd) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return 0, math.Nextafter(2*norm(x.Alpha), math.Inf(1))
}

// Bind implements Transform.
func (x RoAd) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	if err := needFloats(x.Theta, x.Alpha); err != nil {
		return nil, err
	}
	rows, cols := flatten(p.Shape)
	if len(p.Shape) == 0 || x.Group < 2 || x.Group%2 != 0 || rows%x.Group != 0 {
		return nil, shapeError(p, x.Theta, []int64{-1})
	}
	want := rows * int64(x.Variant) / 2
	for _, t := range x.Tensors() {
		if product(t.Shape) != want {
			return nil, shapeError(p, t, []int64{want})
		}
	}
	if r == Once {
		dtype = kernel.F32
	}
	return newMapping(p, x.Group, x.change(cols, dtype))
}

// change turns whole groups of rows, with coefficients rounded to the dtype.
func (x RoAd) change(cols int64, dtype kernel.DType) change {
	half := x.Group / 2
	per := half * int64(x.Variant) // values of a group
	return func(s *scratch, w []float32, lo, hi int64) error {
		for at := lo; at < hi; at += x.Group {
			first, second, err := x.coefficients(s, at/x.Group*per, per, dtype)
			if err != nil {
				return err
			}
			group := w[(at-lo)*cols:][:x.Group*cols]
			for i := range half {
				a, b := group[i*cols:][:cols], group[(half+i)*cols:][:cols]
				for j, u := range a {
					v := b[j]
					a[j] = u*first[i] - v*second[i]
					b[j] = v*first[half+i] + u*second[half+i]
				}
			}
		}
		return nil
	}
}

// coefficients are c₁ and c₂ for the outputs of the group whose values begin at from.
func (x RoAd) coefficients(s *scratch, from, per int64, dtype kernel.DType) (first, second []float32, err error) {
	s.left = grow(s.left, int(2*per))
	theta, alpha := s.left[:per], s.left[per:]
	if err := ReadFloats(theta, x.Theta, from); err != nil {
		return nil, nil, err
	}
	if err := ReadFloats(alpha, x.Alpha, from); err != nil {
		return nil, nil, err
	}
	s.right = grow(s.right, int(2*x.Group))
	for i := range x.Group {
		at, other := i, i
		switch x.Variant {
		case RoAd1:
			at, other = i%(x.Group/2), i%(x.Group/2)
		case RoAd4:
			other = x.Group + i
		}
		s.right[i] = alpha[at] * float32(math.Cos(float64(theta[at])))
		s.right[x.Group+i] = alpha[other] * float32(math.Sin(float64(theta[other])))
	}
	s.bytes = grow(s.bytes, len(s.right)*dtype.Size())
	kernel.Store(s.bytes, s.right, dtype)
	kernel.Load(s.right, s.bytes, dtype)
	return s.right[:x.Group], s.right[x.Group:], nil
}
