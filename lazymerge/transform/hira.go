package transform

import "lorafs/safetensors"

// HiRA adds W∘(B·A), rounded after each of its three steps (peft
// tuners/hira/layer.py:85 @0.21.2).
type HiRA struct {
	A, B *safetensors.Tensor // [r, in] and [out, r], or as a convolution has them
	// Embedding: A is [r, tokens] and B [width, r], the delta lies as the transpose.
	Embedding bool
}

var _ Transform = HiRA{}

// Describe implements Transform.
func (h HiRA) Describe() Description {
	rank, _ := flatten(h.A.Shape)
	return Description{Type: "hira", Rank: int(rank), Scaling: 1}
}

// Tensors implements Transform.
func (h HiRA) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{h.B, h.A} }

// Range implements Ranged.
func (h HiRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return 0, 1 + norm(h.A)*norm(h.B)
}

// Bind implements Transform.
func (h HiRA) Bind(p Param, r Rounding) (Bound, error) {
	delta := Matrix(Product{Stored{h.B}, Stored{h.A}})
	if h.Embedding {
		delta = Turned{delta}
	} else if len(h.A.Shape) > 2 && !sameInner(p, Conv, h.A) && len(p.Shape) > 0 {
		return nil, shapeError(p, h.A, append([]int64{h.A.Shape[0]}, p.Shape[1:]...))
	}
	turned, err := fit(p, delta)
	if err != nil {
		return nil, err
	}
	if turned {
		delta = Turned{delta}
	}
	_, cols := flatten(p.Shape)
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	return newMapping(p, 1, func(s *scratch, w []float32, lo, hi int64) error {
		s.sums = grow(s.sums, len(w))
		if err := delta.Area(s.sums, Block{lo, hi - lo, 0, cols}); err != nil {
			return err
		}
		step := func() {
			if r != Once {
				s.round(s.sums, dtype)
			}
		}
		step()
		for i, x := range w {
			s.sums[i] *= x
		}
		step()
		for i, x := range s.sums {
			w[i] += x
		}
		return nil
	})
}
