package transform

import (
	"context"

	"lorafs/lazymerge/kernel"
)

// change alters rows of a weight in fp32, in place: those of [lo,hi), as the base
// stores them.
type change func(s *scratch, w []float32, lo, hi int64) error

// mapping computes merged rows from the rows themselves and rounds once. A group is
// the number of rows that change is to see together.
type mapping struct {
	blocks
	group  int64
	change change
}

func newMapping(p Param, group int64, c change) (*mapping, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	return &mapping{blocks: newBlocks(p, dtype), group: max(group, 1), change: c}, nil
}

var _ Grouped = (*mapping)(nil)

func (m *mapping) Group() int64 { return m.group }

func (m *mapping) Rows(ctx context.Context, dst, src, _ []byte, lo, hi int64) error {
	return m.alter(ctx, dst, src, lo, hi, m.group, m.change)
}

// alter fills dst with the rows [lo,hi) of src as c alters them, rounded once.
func (b *blocks) alter(ctx context.Context, dst, src []byte, lo, hi, group int64, c change) error {
	s := getScratch()
	defer s.release()
	return b.eachGroup(ctx, lo, hi, group, func(from, to int64) error {
		part := b.bytes(lo, from, to)
		s.delta = grow(s.delta, int((to-from)*b.cols))
		kernel.Load(s.delta, src[part.lo:part.hi], b.dtype)
		sound := b.param.AllowNonFinite || kernel.Finite(s.delta)
		if err := c(s, s.delta, from, to); err != nil {
			return err
		}
		if !kernel.Store(dst[part.lo:part.hi], s.delta, b.dtype) && sound && !b.param.AllowNonFinite {
			return b.overflow(from + firstInfinite(dst[part.lo:part.hi], b.dtype)/max(b.cols, 1))
		}
		return nil
	})
}

func firstInfinite(b []byte, t kernel.DType) int64 {
	var x [1]float32
	for i := 0; i < len(b); i += t.Size() {
		if kernel.Load(x[:], b[i:i+t.Size()], t); x[0]-x[0] != 0 {
			return int64(i / t.Size())
		}
	}
	return 0
}
