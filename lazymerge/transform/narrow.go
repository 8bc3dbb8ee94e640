package transform

import "lorafs/lazymerge/kernel"

// product is the delta with a product that is rounded before it is scaled.
func (l LowRank) product(d kernel.DType) Addition {
	return Addition{
		Type: "lora", Rank: l.rank(), Scale: l.Scale, Class: Double,
		Delta: Rounded{Product{Rounded{Stored{l.B}, d}, Rounded{Stored{l.A}, d}}, d},
	}
}

// narrowed is b, which l was bound to, with factors in the base's dtype.
func (b *lowRank) narrowed(l LowRank, r Rounding) *lowRank {
	down, up := 1.0, 1.0
	if r == NarrowScaled {
		down, up = divided(l.Scale)
		b.scale = 1
	}
	left, right := up, down
	if b.transposed {
		left, right = down, up
	}
	b.left = narrowFactor{b.left.(storedFactor), float32(left), b.dtype}
	b.right = narrowFactor{b.right.(storedFactor), float32(right), b.dtype}
	return b
}

// divided splits a scale between the factors as diffusers does.
func divided(scale float64) (down, up float64) {
	down, up = scale, 1
	if scale <= 0 {
		return down, up
	}
	for down*2 < up {
		down, up = down*2, up/2
	}
	return down, up
}

// narrowFactor is a tensor times by in its own dtype, rounded to another.
type narrowFactor struct {
	storedFactor
	by    float32
	dtype kernel.DType
}

func (f narrowFactor) read(s *scratch, lo, hi int64) ([]float32, error) {
	values, err := f.storedFactor.read(s, lo, hi)
	if err != nil {
		return nil, err
	}
	own, err := kernelType(f.Info)
	if err != nil {
		own = kernel.F32 // of fp64, which is widened to fp32
	}
	roundScaled(values, f.by, own)
	roundScaled(values, 1, f.dtype)
	return values, nil
}

// roundScaled multiplies values and rounds them to a dtype.
func roundScaled(values []float32, by float32, d kernel.DType) {
	s := getScratch()
	defer s.release()
	s.bytes = grow(s.bytes, len(values)*d.Size())
	kernel.StoreScaled(s.bytes, values, by, d)
	kernel.Load(values, s.bytes, d)
}
