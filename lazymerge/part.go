package lazymerge

import (
	"context"
	"errors"

	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/transform"
)

// part is the share of a tensor on disk that is a parameter in memory: models with
// separate q, k and v may store them as one tensor. The zero part is all of it.
type part struct{ index, of int }

func (p part) some() bool { return p.of > 1 }

// partOf is the tensor that an edit's parameter is a part of, when err says so.
func partOf(err error) (resolve.Match, part, bool) {
	var c *resolve.ConvertedError
	if !errors.As(err, &c) || !c.Rows() {
		return resolve.Match{}, part{}, false
	}
	return resolve.Match{Name: c.Sources[0], How: "part"}, part{c.Part, c.Parts}, true
}

// rows are those of the part: torch.chunk makes all but the last of one size.
func (p part) rows(total int64) (first, count int64) {
	of := int64(p.of)
	size := (total + of - 1) / of
	first = min(size*int64(p.index), total)
	return first, min(size, total-first)
}

// param is the parameter that the part is.
func (p part) param(whole transform.Param) transform.Param {
	if !p.some() || len(whole.Shape) == 0 {
		return whole
	}
	_, count := p.rows(whole.Shape[0])
	whole.Shape = append([]int64{count}, whole.Shape[1:]...)
	return whole
}

// bind fits a transform to the part's rows.
func (p part) bind(t transform.Transform, whole transform.Param, r transform.Rounding) (transform.Bound, error) {
	if len(whole.Shape) == 0 {
		return t.Bind(whole, r)
	}
	return p.segment(whole.Shape[0]).bind(t, whole, r)
}

// segment is the rows of the part.
func (p part) segment(total int64) segment {
	first, count := p.rows(total)
	return segment{First: first, Count: count, Whole: count}
}

// everyRow replaces the rows one by one, which leaves those of the other parts.
func everyRow(v transform.Replace, rows int64) transform.ReplaceRows {
	all := make([]int64, rows)
	for i := range all {
		all[i] = int64(i)
	}
	return transform.ReplaceRows{Indices: all, Rows: v.Value}
}

// partBound edits the rows [first,first+count) and passes the others on. For the
// transform they are its rows from from on.
type partBound struct {
	transform.Bound
	first, count, from int64
	width, total       int64 // bytes of a row; rows of the tensor
}

// Unwrap is the Bound of the part's rows.
func (b partBound) Unwrap() transform.Bound { return b.Bound }

// Group is the inner edit's where its groups meet the part's ends, else all rows.
func (b partBound) Group() int64 {
	g, ok := b.Bound.(transform.Grouped)
	switch {
	case !ok:
		return 1
	case b.first%g.Group() == 0 && (b.count%g.Group() == 0 || b.first+b.count == b.total):
		return g.Group()
	}
	return max(b.total, 1)
}

func (b partBound) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	from := min(max(b.first, lo), hi)
	to := min(max(b.first+b.count, lo), hi)
	begin, end := (from-lo)*b.width, (to-lo)*b.width
	copy(dst[:begin], src[:begin])
	copy(dst[end:], src[end:])
	if from == to {
		return nil
	}
	shift := b.from - b.first
	return b.Bound.Rows(ctx, dst[begin:end], src[begin:end], packed, from+shift, to+shift)
}

type partPreparer struct {
	partBound
	prep transform.Preparer
}

func (b partPreparer) Prepare(ctx context.Context, packed []byte, rows rowReader) error {
	return b.prep.Prepare(ctx, packed, b.shift(rows))
}

type partFromBase struct {
	partBound
	from transform.FromBase
}

func (b partFromBase) PackFrom(ctx context.Context, dst []byte, rows rowReader) error {
	return b.from.PackFrom(ctx, dst, b.shift(rows))
}

// shift counts rows from the part's first: it is all that the transform has.
func (b partBound) shift(rows rowReader) rowReader {
	return func(ctx context.Context, dst []byte, lo, hi int64) error {
		return rows(ctx, dst, b.first+lo, b.first+hi)
	}
}
