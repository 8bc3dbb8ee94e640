package lazymerge

import (
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
	if v, ok := t.(transform.Replace); ok {
		t = everyRow(v, s.Whole)
	}
	inner, err := t.Bind(param, r)
	if err != nil {
		return nil, err
	}
	if s.divides(inner) {
		return nil, &transform.LayerError{Tensor: tensor.Name, Transform: t.Describe().Type + ", divided among several tensors,", Layer: transform.Linear}
	}
	width := int64(tensor.DType.Bits()) / 8
	for _, n := range tensor.Shape[1:] {
		width *= n
	}
	b := partBound{Bound: inner, first: s.First, count: s.Count, from: s.From, width: width, total: tensor.Shape[0]}
	switch inner := inner.(type) {
	case transform.FromBase:
		return partFromBase{b, inner}, nil
	case transform.Preparer:
		return partPreparer{b, inner}, nil
	}
	return b, nil
}

// divides says that the segment lacks rows which the edit needs to see.
func (s segment) divides(b transform.Bound) bool {
	switch b := b.(type) {
	case transform.Preparer, transform.FromBase:
		return s.Count != s.Whole
	case transform.Grouped:
		g := b.Group()
		return s.From%g != 0 || s.Count%g != 0 && s.From+s.Count != s.Whole
	}
	return false
}
