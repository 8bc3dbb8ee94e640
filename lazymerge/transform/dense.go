package transform

import (
	"context"
	"unsafe"

	"lorafs/lazymerge/kernel"
)

// rowReader gives the rows [lo,hi) of a parameter in its dtype.
type rowReader = func(ctx context.Context, dst []byte, lo, hi int64) error

// dense adds a delta that can only be made whole, once for a tensor: by a transform of
// all of it, or from the base's weights. It is packed, four bytes an element, as the
// parameter lies.
type dense struct {
	blocks
	fill  denseFill
	by    float32 // the delta's weight
	twice bool
}

// denseFill sets delta, b.rows×b.cols and zero before. base is for b.walk, where the
// delta depends on the weights.
type denseFill func(ctx context.Context, b *blocks, delta []float32, base rowReader) error

var _ FromBase = (*dense)(nil)

// newDense is the Bound of such a delta. fill honours ctx between parts of its work.
func newDense(p Param, c Class, r Rounding, fill denseFill) (*dense, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	return &dense{blocks: newBlocks(p, dtype), fill: fill, by: 1, twice: c.Twice(r)}, nil
}

func (d *dense) PackSize() int64 { return 4 * d.rows * d.cols }

func (d *dense) PackFrom(ctx context.Context, dst []byte, base rowReader) error {
	clear(dst)
	return d.fill(ctx, &d.blocks, packedFloats(dst), base)
}

func (d *dense) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	s := getScratch()
	defer s.release()
	delta := packedFloats(packed)
	return d.each(ctx, lo, hi, func(from, to int64) error {
		part := d.bytes(lo, from, to)
		s.delta = grow(s.delta, int((to-from)*d.cols)) // add overwrites it
		copy(s.delta, delta[from*d.cols:to*d.cols])
		return d.add(s, dst[part.lo:part.hi], src[part.lo:part.hi], s.delta, from, d.by, d.twice)
	})
}

// walk calls each with the base's rows in fp32, some at a time.
func (b *blocks) walk(ctx context.Context, base rowReader, each func(w []float32, lo, hi int64) error) error {
	return b.walkRows(ctx, base, 0, b.rows, each)
}

func (b *blocks) walkRows(ctx context.Context, base rowReader, lo, hi int64, each func(w []float32, lo, hi int64) error) error {
	s := getScratch()
	defer s.release()
	return b.each(ctx, lo, hi, func(lo, hi int64) error {
		n := int((hi - lo) * b.cols)
		s.bytes = grow(s.bytes, n*b.dtype.Size())
		if err := base(ctx, s.bytes, lo, hi); err != nil {
			return err
		}
		s.turn = grow(s.turn, n)
		kernel.Load(s.turn, s.bytes, b.dtype)
		return each(s.turn, lo, hi)
	})
}

// packedFloats sees packed bytes, which are aligned, as fp32.
func packedFloats(b []byte) []float32 {
	if len(b) < 4 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4)
}
