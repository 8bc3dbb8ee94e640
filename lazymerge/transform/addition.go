package transform

import (
	"context"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// Addition adds Scale·Delta to a weight. A turned parameter (transformers' Conv1D)
// takes the transpose.
type Addition struct {
	Type  string // for reports
	Rank  int    // for reports; 0 when it has none
	Delta Matrix // [out, in]
	Scale float64
	Class Class
	Note  string
}

var _ Transform = Addition{}

// Describe implements Transform.
func (a Addition) Describe() Description {
	return Description{Type: a.Type, Rank: a.Rank, Scaling: a.Scale, Note: a.Note}
}

// Tensors implements Transform.
func (a Addition) Tensors() []*safetensors.Tensor { return a.Delta.Tensors() }

// Range implements Ranged.
func (a Addition) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return abs(a.Scale) * a.Delta.Norm(norm), 1
}

// Bind implements Transform.
func (a Addition) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	turned, err := fit(p, a.Delta)
	if err != nil {
		return nil, err
	}
	b := &addition{blocks: newBlocks(p, dtype), delta: a.Delta, scale: float32(a.Scale), twice: a.Class.Twice(r)}
	if turned {
		b.delta = Turned{a.Delta}
	}
	return b, nil
}

type addition struct {
	blocks
	delta Matrix
	scale float32
	twice bool
}

func (a *addition) Rows(ctx context.Context, dst, src, _ []byte, lo, hi int64) error {
	s := getScratch()
	defer s.release()
	return a.each(ctx, lo, hi, func(from, to int64) error {
		part := a.bytes(lo, from, to)
		s.delta = grow(s.delta, int((to-from)*a.cols))
		if err := a.delta.Area(s.delta, Block{from, to - from, 0, a.cols}); err != nil {
			return err
		}
		return a.add(s, dst[part.lo:part.hi], src[part.lo:part.hi], s.delta, from, a.scale, a.twice)
	})
}

// blocks walks the rows of a parameter in steps of bounded memory.
type blocks struct {
	param Param
	dtype kernel.DType
	rows  int64
	cols  int64
}

func newBlocks(p Param, dtype kernel.DType) blocks {
	rows, cols := flatten(p.Shape)
	return blocks{param: p, dtype: dtype, rows: rows, cols: cols}
}

func (b *blocks) PackSize() int64 { return 0 }

func (b *blocks) Pack(context.Context, []byte) error { return nil }

// blockElements bounds the fp32 values of a step.
const blockElements = 1 << 18

// each calls step with the rows from lo to hi, some at a time.
func (b *blocks) each(ctx context.Context, lo, hi int64, step func(lo, hi int64) error) error {
	return b.eachGroup(ctx, lo, hi, 1, step)
}

// eachGroup is each with steps of whole groups of rows.
func (b *blocks) eachGroup(ctx context.Context, lo, hi, group int64, step func(lo, hi int64) error) error {
	rows := max(blockElements/max(b.cols, 1)/group, 1) * group
	for ; lo < hi; lo += rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(lo, min(lo+rows, hi)); err != nil {
			return err
		}
	}
	return nil
}

type byteRange struct{ lo, hi int64 }

// bytes is where the rows [from,to) lie in a buffer that begins with the row lo.
func (b *blocks) bytes(lo, from, to int64) byteRange {
	row := b.cols * int64(b.dtype.Size())
	return byteRange{(from - lo) * row, (to - lo) * row}
}

// add fills dst with src + scale·delta, the rows from row on. scale·delta is rounded
// in fp32, and when twice in the dtype as well. It overwrites delta.
func (b *blocks) add(s *scratch, dst, src []byte, delta []float32, row int64, scale float32, twice bool) error {
	if twice {
		s.bytes = grow(s.bytes, len(delta)*b.dtype.Size())
		kernel.StoreScaled(s.bytes, delta, scale, b.dtype)
		kernel.Load(delta, s.bytes, b.dtype)
		scale = 1
	}
	bad := kernel.AddScaled(dst, src, delta, scale, b.dtype)
	if bad >= 0 && !b.param.AllowNonFinite {
		return b.overflow(row + int64(bad)/max(b.cols, 1))
	}
	return nil
}

func (b *blocks) overflow(row int64) error {
	return &OverflowError{Tensor: b.param.Name, DType: b.param.DType, Row: row}
}
