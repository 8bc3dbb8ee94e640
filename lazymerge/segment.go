package lazymerge

import (
	"context"

	"lorafs/lazymerge/resolve/diffusion"
	"lorafs/lazymerge/transform"
)

// segment is the rows of a tensor that are rows of an edit's parameter, where base and
// adapter do not divide layers into tensors in the same way. The zero segment is all
// of the tensor.
type segment diffusion.Rows

func (s segment) some() bool { return s.Count > 0 }

func (s segment) overlaps(o segment) bool {
	return !s.some() || !o.some() || s.First < o.First+o.Count && o.First < s.First+s.Count
}

// bind fits a transform to the parameter that the adapter knows.
func (s segment) bind(t transform.Transform, tensor transform.Param, r transform.Rounding) (transform.Bound, error) {
	if len(tensor.Shape) == 0 || s.First+s.Count > tensor.Shape[0] {
		return t.Bind(tensor, r)
	}
	param := tensor
	param.Shape = append([]int64{s.Whole}, tensor.Shape[1:]...)
	inner, err := t.Bind(param, r)
	if err != nil {
		return nil, err
	}
	if s.parts(inner) {
		return nil, &transform.LayerError{Tensor: tensor.Name, Transform: t.Describe().Type + ", divided among several tensors,", Layer: transform.Linear}
	}
	width := int64(tensor.DType.Bits()) / 8
	for _, n := range tensor.Shape[1:] {
		width *= n
	}
	b := segmentBound{Bound: inner, segment: s, width: width, total: tensor.Shape[0]}
	if from, ok := inner.(transform.FromBase); ok {
		return segmentFromBase{b, from}, nil
	}
	if prep, ok := inner.(transform.Preparer); ok {
		return segmentPreparer{b, prep}, nil
	}
	return b, nil
}

// parts says that the segment lacks rows which the edit needs to see.
func (s segment) parts(b transform.Bound) bool {
	whole := s.Count == s.Whole
	switch b := b.(type) {
	case transform.Preparer, transform.FromBase:
		return !whole
	case transform.Grouped:
		g := b.Group()
		return s.From%g != 0 || s.Count%g != 0 && s.From+s.Count != s.Whole
	}
	return false
}

// segmentBound edits the rows of the segment and passes the others on.
type segmentBound struct {
	transform.Bound
	segment
	width, total int64 // bytes of a row; rows of the tensor
}

// Group is the inner edit's where its groups meet the segment's ends, else all rows.
func (b segmentBound) Group() int64 {
	g, ok := b.Bound.(transform.Grouped)
	switch {
	case !ok:
		return 1
	case b.First%g.Group() == 0 && (b.Count%g.Group() == 0 || b.First+b.Count == b.total):
		return g.Group()
	}
	return max(b.total, 1)
}

func (b segmentBound) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	from := min(max(b.First, lo), hi)
	to := min(max(b.First+b.Count, lo), hi)
	begin, end := (from-lo)*b.width, (to-lo)*b.width
	copy(dst[:begin], src[:begin])
	copy(dst[end:], src[end:])
	if from == to {
		return nil
	}
	shift := b.From - b.First
	return b.Bound.Rows(ctx, dst[begin:end], src[begin:end], packed, from+shift, to+shift)
}

type segmentPreparer struct {
	segmentBound
	prep transform.Preparer
}

func (b segmentPreparer) Prepare(ctx context.Context, packed []byte, rows rowReader) error {
	return b.prep.Prepare(ctx, packed, b.shift(rows))
}

type segmentFromBase struct {
	segmentBound
	from transform.FromBase
}

func (b segmentFromBase) PackFrom(ctx context.Context, dst []byte, rows rowReader) error {
	return b.from.PackFrom(ctx, dst, b.shift(rows))
}

// shift counts rows from the segment's first: the segment is then all of the parameter.
func (b segmentBound) shift(rows rowReader) rowReader {
	return func(ctx context.Context, dst []byte, lo, hi int64) error {
		return rows(ctx, dst, b.First+lo, b.First+hi)
	}
}
