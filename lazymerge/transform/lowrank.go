package transform

import (
	"context"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// LowRank adds scale·B·A (PEFT's LoRA). Formula by layer kind: Linear and the
// attention projections W[out,in] += B·A, transformers' Conv1D W[in,out] += (B·A)ᵀ,
// Conv over the flattened kernel, Embedding W[V,d] += (B·A)ᵀ; A and B as stored.
type LowRank struct {
	A, B  *safetensors.Tensor
	Scale float64
	Layer Kind
	// MiCA: PEFT merges such layers in a class of its own, which rounds the delta
	// first (peft tuners/lora/variants.py:1285 @0.21.2).
	MiCA bool
}

var _ Transform = LowRank{}

func (l LowRank) passes(r Rounding) []pass {
	if l.MiCA && r == PEFT {
		return twice
	}
	return l.Layer.passes(r)
}

// Describe implements Transform.
func (l LowRank) Describe() Description {
	d := Description{Type: "lora", Rank: l.rank(), Scaling: l.Scale}
	if l.Layer == OutProj {
		d.Note = "delta added twice, as peft does in training and merging"
	}
	return d
}

func (l LowRank) rank() int {
	if len(l.A.Shape) == 0 {
		return 0
	}
	return int(l.A.Shape[0])
}

// Tensors implements Transform.
func (l LowRank) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{l.A, l.B}
}

// Bind implements Transform.
func (l LowRank) Bind(p Param, r Rounding) (Bound, error) {
	b, err := l.bind(p, r)
	if err != nil || b.dtype == kernel.F32 || !r.narrow() {
		return b, err
	}
	if r == NarrowProduct && l.Layer <= Conv {
		return l.product(b.dtype).Bind(p, r)
	}
	return b.narrowed(l, r), nil
}

func (l LowRank) bind(p Param, r Rounding) (*lowRank, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	if err := needFloats(l.A, l.B); err != nil {
		return nil, err
	}
	f, err := orient(p, l.Layer, l.A, l.B)
	if err != nil {
		return nil, err
	}
	return &lowRank{factors: f, param: p, dtype: dtype, scale: l.Scale, passes: l.passes(r)}, nil
}

type lowRank struct {
	factors
	param  Param
	dtype  kernel.DType
	scale  float64
	passes []pass
	leftAt int64 // where in the packed bytes the left factor lies, rows×rank in fp32; 0 when it is read as stored
	beside bool  // factors are packed behind the kernel's, see drawn and baseFactors
}

func (l *lowRank) held(packed []byte) []float32 { return packedFloats(packed[l.packSize():]) }

func (l *lowRank) PackSize() int64 { return l.packSize() }

func (l *lowRank) Pack(ctx context.Context, dst []byte) error { return l.pack(ctx, dst, nil) }

func (l *lowRank) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	if l.rank == 0 {
		copy(dst, src)
		return nil
	}
	s := getScratch()
	defer s.release()
	if l.beside {
		s.held = l.held(packed)
	}
	row := l.cols * int64(l.dtype.Size())
	for block := l.block(); lo < hi; lo += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(lo+block, hi)
		if l.leftAt > 0 {
			l.gatherFrom(s, packedFloats(packed[l.leftAt:]), lo, end)
		} else if err := l.gather(s, lo, end); err != nil {
			return err
		}
		n := (end - lo) * row
		from := src[:n]
		for _, p := range l.passes {
			l.arguments(s, dst[:n], from, packed, p)
			if bad := kernel.AddLowRank(&s.args); bad >= 0 && !l.param.AllowNonFinite {
				return l.overflow(lo + int64(bad))
			}
			from = dst[:n]
		}
		dst, src = dst[n:], src[n:]
	}
	return nil
}

func (l *lowRank) gatherFrom(s *scratch, left []float32, lo, hi int64) {
	s.coeffs.Reset(int(hi-lo), int(l.rank))
	for i := lo; i < hi; i++ {
		s.coeffs.Row(int(i-lo), left[i*l.rank:(i+1)*l.rank])
	}
}

func (l *lowRank) overflow(row int64) error {
	return &OverflowError{Tensor: l.param.Name, DType: l.param.DType, Row: row}
}

func (l *lowRank) arguments(s *scratch, dst, src, packed []byte, p pass) {
	s.args = kernel.Args{
		Dst: dst, Src: src, DType: l.dtype,
		A:        kernel.View(packed, int(l.rank), int(l.cols)),
		B:        &s.coeffs,
		Scale:    float32(l.scale * p.times),
		Rounding: p.rounding,
	}
}
