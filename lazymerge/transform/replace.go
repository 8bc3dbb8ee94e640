package transform

import (
	"context"
	"errors"

	"lorafs/safetensors"
)

// Replace puts the adapter's tensor in place of the whole parameter, in the
// parameter's dtype. The first dimension may differ (a resized vocabulary). Rows
// counts the rows of Value and does not look at the base.
type Replace struct {
	Value *safetensors.Tensor
}

var _ Transform = Replace{}

// Describe implements Transform.
func (r Replace) Describe() Description { return Description{Type: "replace"} }

// Tensors implements Transform.
func (r Replace) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{r.Value} }

// Bind implements Transform.
func (r Replace) Bind(p Param, _ Rounding) (Bound, error) {
	if err := castable(p.Info, r.Value); err != nil {
		return nil, err
	}
	if !sameRows(p.Shape, r.Value.Shape) {
		want := append([]int64(nil), p.Shape...)
		return nil, shapeError(p, r.Value, want)
	}
	rows, cols := flatten(r.Value.Shape)
	return &replace{value: r.Value, param: p, rows: rows, cols: cols}, nil
}

// castable tells whether Cast turns t's elements into p's.
func castable(p safetensors.Info, t *safetensors.Tensor) error {
	switch {
	case p.DType == t.DType, widens(p.DType) && widens(t.DType):
		return nil
	case widens(t.DType):
		return &DTypeError{Tensor: p.Name, DType: p.DType}
	default:
		return &DTypeError{Tensor: t.Name, DType: t.DType}
	}
}

// sameRows tells whether two shapes differ at most in their first dimension.
func sameRows(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 1; i < len(a); i++ {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

type replace struct {
	value      *safetensors.Tensor
	param      Param
	rows, cols int64
}

func (r *replace) PackSize() int64 { return 0 }

func (r *replace) Pack(context.Context, []byte) error { return nil }

func (r *replace) Rows(ctx context.Context, dst, _, _ []byte, lo, hi int64) error {
	bits := int64(r.value.DType.Bits())
	out := int64(r.param.DType.Bits())
	for step := max(1, packChunk/max(r.cols, 1)); lo < hi; lo += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(lo+step, hi)
		b, err := r.value.Slice(lo*r.cols*bits/8, end*r.cols*bits/8)
		if err != nil {
			return err
		}
		n := (end - lo) * r.cols * out / 8
		err = Cast(dst[:n], r.param.DType, b, r.value.DType)
		if err = named(err, r.param, lo); err != nil {
			return err
		}
		dst = dst[n:]
	}
	return nil
}

// named completes an error of Cast, or drops an overflow that p allows.
func named(err error, p Param, row int64) error {
	if err == nil {
		return nil
	}
	var overflow *OverflowError
	if !errors.As(err, &overflow) {
		return err
	}
	if p.AllowNonFinite {
		return nil
	}
	overflow.Tensor, overflow.Row = p.Name, row
	return overflow
}
