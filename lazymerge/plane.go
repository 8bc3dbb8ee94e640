package lazymerge

import (
	"lorafs/lazymerge/transform"
)

// bindPlane fits a transform to one matrix of a tensor of three dimensions. The rows of
// the tensor are then those of all its matrices, see stackedRows.
func bindPlane(plane int64, t transform.Transform, whole transform.Param, r transform.Rounding) (transform.Bound, error) {
	if len(whole.Shape) != 3 || plane >= whole.Shape[0] {
		return nil, &transform.ShapeError{Tensor: whole.Name, Want: whole.Shape, Got: []int64{plane}}
	}
	param := whole
	param.Shape = whole.Shape[1:]
	inner, err := t.Bind(param, r)
	if err != nil {
		return nil, err
	}
	rows := param.Shape[0]
	return partBound{
		Bound: inner, first: plane * rows, count: rows, width: param.Shape[1] * int64(whole.DType.Bits()) / 8,
		total: whole.Shape[0] * rows,
	}, nil
}

// stackedRows tells whether a tensor is computed by the rows of its matrices: a matrix
// of a stack is too large a unit.
func stackedRows(chain []boundEdit) bool {
	for _, e := range chain {
		if e.plane > 0 {
			return true
		}
	}
	return false
}

// touches tells whether the edit changes any of the rows [lo,hi).
func (e *boundEdit) touches(lo, hi int64) bool {
	return e.count == 0 || e.first < hi && lo < e.first+e.count
}
