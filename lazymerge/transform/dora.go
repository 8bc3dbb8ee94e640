package transform

import (
	"context"
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// DoRA is LowRank with the length of each output's weights set by Magnitude:
// N = W + Δ in fp32, W' = rd((m/‖N‖)·N), without an epsilon (peft
// tuners/lora/variants.py @0.21.2). Norms are over the inputs of an output: rows for
// Linear and Conv, columns for transformers' Conv1D and for Embedding. Every rounding
// class gives the same: PEFT rounds once in all of them.
type DoRA struct {
	LowRank
	Magnitude *safetensors.Tensor
}

var _ Transform = DoRA{}

// Describe implements Transform.
func (d DoRA) Describe() Description {
	return Description{Type: "dora", Rank: d.rank(), Scaling: d.Scale}
}

// Tensors implements Transform.
func (d DoRA) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{d.A, d.B, d.Magnitude}
}

// Bind implements Transform. With norms over columns the result is a Preparer.
func (d DoRA) Bind(p Param, r Rounding) (Bound, error) {
	if d.Layer == InProj || d.Layer == OutProj {
		return nil, &LayerError{Tensor: p.Name, Transform: "dora", Layer: d.Layer}
	}
	if err := needFloats(d.Magnitude); err != nil {
		return nil, err
	}
	l, err := d.bind(p, r)
	if err != nil {
		return nil, err
	}
	n := l.rows
	if l.transposed {
		n = l.cols
	}
	if product(d.Magnitude.Shape) != n {
		return nil, shapeError(p, d.Magnitude, []int64{n})
	}
	base := dora{lowRank: l, magnitude: d.Magnitude}
	if l.transposed {
		return &columnDoRA{dora: base}, nil
	}
	return &rowDoRA{dora: base}, nil
}

type dora struct {
	*lowRank
	magnitude *safetensors.Tensor
}

// sumElements bounds the fp32 sums held at a time.
const sumElements = 1 << 18

func (d *dora) block() int64 {
	return max(min(d.factors.block(), sumElements/max(d.cols, 1)), 1)
}

// sums calls each with the rows of N = W + Δ, a block at a time.
func (d *dora) sums(ctx context.Context, s *scratch, src, packed []byte, lo, hi int64, each func(at int64, n []float32) error) error {
	row := d.cols * int64(d.dtype.Size())
	for block := d.block(); lo < hi; lo += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(lo+block, hi)
		bytes := (end - lo) * row
		if err := d.sumBlock(s, src[:bytes], packed, lo, end); err != nil {
			return err
		}
		if err := each(lo, s.sums); err != nil {
			return err
		}
		src = src[bytes:]
	}
	return nil
}

func (d *dora) sumBlock(s *scratch, src, packed []byte, lo, hi int64) error {
	s.sums = grow(s.sums, int((hi-lo)*d.cols))
	if d.rank == 0 {
		kernel.Load(s.sums, src, d.dtype)
		return nil
	}
	if err := d.gather(s, lo, hi); err != nil {
		return err
	}
	d.arguments(s, nil, src, packed, once[0])
	kernel.SumRows(s.sums, &s.args)
	return nil
}

// put stores a merged row.
func (d *dora) put(dst []byte, at int64, n []float32, factor float32) error {
	if kernel.StoreScaled(dst, n, factor, d.dtype) || d.param.AllowNonFinite {
		return nil
	}
	return d.overflow(at)
}

// rowDoRA has its norms over rows.
type rowDoRA struct{ dora }

func (d *rowDoRA) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	s := getScratch()
	defer s.release()
	size := d.cols * int64(d.dtype.Size())
	return d.sums(ctx, s, src, packed, lo, hi, func(at int64, n []float32) error {
		m, err := s.read(d.magnitude, at, at+int64(len(n))/max(d.cols, 1))
		if err != nil {
			return err
		}
		for i := range m {
			row := n[int64(i)*d.cols:][:d.cols]
			factor := m[i] / float32(math.Sqrt(kernel.Squares(&s.squares, row)))
			if err := d.put(dst[:size], at+int64(i), row, factor); err != nil {
				return err
			}
			dst = dst[size:]
		}
		return nil
	})
}

// columnDoRA has its norms over columns and so must see the whole parameter first. The
// squares are added one after another in fp32, as torch does on a CPU: over 50,000 rows
// that is 3e-6 away from the exact norm, which changes one bf16 weight in 1,000.
type columnDoRA struct {
	dora
	factor []float32 // m/‖N‖ of each column, set by Prepare
}

var _ Preparer = (*columnDoRA)(nil)

func (d *columnDoRA) Prepare(ctx context.Context, packed []byte, rows func(ctx context.Context, dst []byte, lo, hi int64) error) error {
	s := getScratch()
	defer s.release()
	squares := make([]float32, d.cols)
	add := func(_ int64, n []float32) error {
		for ; len(n) > 0; n = n[d.cols:] {
			for j, x := range n[:d.cols] {
				squares[j] += float32(x * x)
			}
		}
		return nil
	}
	block := d.block()
	s.bytes = grow(s.bytes, int(block*d.cols)*d.dtype.Size())
	for lo := int64(0); lo < d.rows; lo += block {
		hi := min(lo+block, d.rows)
		src := s.bytes[:(hi-lo)*d.cols*int64(d.dtype.Size())]
		if err := rows(ctx, src, lo, hi); err != nil {
			return err
		}
		if err := d.sums(ctx, s, src, packed, lo, hi, add); err != nil {
			return err
		}
	}
	return d.setFactors(s, squares)
}

func (d *columnDoRA) setFactors(s *scratch, squares []float32) error {
	m, err := s.read(d.magnitude, 0, d.cols)
	if err != nil {
		return err
	}
	factor := make([]float32, d.cols)
	for j := range factor {
		factor[j] = m[j] / float32(math.Sqrt(float64(squares[j])))
	}
	d.factor = factor
	return nil
}

func (d *columnDoRA) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	s := getScratch()
	defer s.release()
	size := d.cols * int64(d.dtype.Size())
	return d.sums(ctx, s, src, packed, lo, hi, func(at int64, n []float32) error {
		for ; len(n) > 0; n = n[d.cols:] {
			kernel.Mul(n[:d.cols], d.factor)
			if err := d.put(dst[:size], at, n[:d.cols], 1); err != nil {
				return err
			}
			dst, at = dst[size:], at+1
		}
		return nil
	})
}
