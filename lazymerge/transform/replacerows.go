package transform

import (
	"cmp"
	"context"
	"slices"

	"lorafs/safetensors"
)

// ReplaceRows puts row i of Rows in place of row Indices[i], in the parameter's dtype
// (PEFT's trainable tokens: what it calls deltas are absolute rows). Where an index
// occurs twice the later row holds.
type ReplaceRows struct {
	Indices []int64
	Rows    *safetensors.Tensor
}

var _ Transform = ReplaceRows{}

// Describe implements Transform.
func (r ReplaceRows) Describe() Description { return Description{Type: "rows"} }

// Tensors implements Transform.
func (r ReplaceRows) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{r.Rows} }

// Bind implements Transform.
func (r ReplaceRows) Bind(p Param, _ Rounding) (Bound, error) {
	if err := castable(p.Info, r.Rows); err != nil {
		return nil, err
	}
	n := int64(len(r.Indices))
	if !sameRows(p.Shape, r.Rows.Shape) || len(p.Shape) == 0 || r.Rows.Shape[0] != n {
		want := []int64{n}
		if len(p.Shape) > 1 {
			want = append(want, p.Shape[1:]...)
		}
		return nil, shapeError(p, r.Rows, want)
	}
	b := &replaceRows{rows: r.Rows, param: p, cols: product(p.Shape[1:])}
	for i, index := range r.Indices {
		if index < 0 || index >= p.Shape[0] {
			return nil, &IndexError{Tensor: p.Name, Index: index, Rows: p.Shape[0]}
		}
		b.order = append(b.order, placed{row: index, from: int64(i)})
	}
	slices.SortStableFunc(b.order, func(x, y placed) int { return cmp.Compare(x.row, y.row) })
	return b, nil
}

// placed says which row of the adapter's tensor goes to which row of the parameter.
type placed struct{ row, from int64 }

type replaceRows struct {
	rows  *safetensors.Tensor
	param Param
	cols  int64
	order []placed
}

func (r *replaceRows) PackSize() int64 { return 0 }

func (r *replaceRows) Pack(context.Context, []byte) error { return nil }

func (r *replaceRows) Rows(ctx context.Context, dst, src, _ []byte, lo, hi int64) error {
	copy(dst, src)
	out := r.cols * int64(r.param.DType.Bits()) / 8
	in := r.cols * int64(r.rows.DType.Bits()) / 8
	at, _ := slices.BinarySearchFunc(r.order, lo, func(p placed, row int64) int { return cmp.Compare(p.row, row) })
	for _, p := range r.order[at:] {
		if p.row >= hi {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := r.rows.Slice(p.from*in, (p.from+1)*in)
		if err != nil {
			return err
		}
		err = Cast(dst[(p.row-lo)*out:(p.row-lo+1)*out], r.param.DType, b, r.rows.DType)
		if err = named(err, r.param, p.row); err != nil {
			return err
		}
	}
	return nil
}
