package transform

import (
	"context"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// OSF puts others in the place of a weight's least singular components: it adds
// U·diag(S)·V − U₀·diag(S₀)·V₀, where the latter are as many of W, each factor rounded
// to the base's dtype (peft tuners/osf/layer.py:153 @0.21.2). The result does not
// depend on the signs of a decomposition.
type OSF struct {
	U, S, V *safetensors.Tensor // [out, k], [k], [k, in]
	Class   Class
}

var _ Transform = OSF{}

// Describe implements Transform.
func (o OSF) Describe() Description {
	return Description{Type: "osf", Rank: int(product(o.S.Shape)),
		Note: "on a 16-bit base PEFT's result depends on the last bits of its decomposition: a few weights in a hundred differ by up to 1e-3 of the largest"}
}

// Tensors implements Transform.
func (o OSF) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{o.U, o.S, o.V} }

// Range implements Ranged.
func (o OSF) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return norm(o.U) * norm(o.S) * norm(o.V), 1 + widestSum
}

// Bind implements Transform.
func (o OSF) Bind(p Param, r Rounding) (Bound, error) {
	if err := needFloats(o.Tensors()...); err != nil {
		return nil, err
	}
	rows, cols := flatten(p.Shape)
	k := product(o.S.Shape)
	switch {
	case p.Conv1D || len(p.Shape) != 2:
		return nil, &LayerError{Tensor: p.Name, Transform: "osf", Layer: Linear}
	case len(o.U.Shape) != 2 || o.U.Shape[0] != rows || o.U.Shape[1] != k:
		return nil, shapeError(p, o.U, []int64{rows, k})
	case len(o.V.Shape) != 2 || o.V.Shape[0] != k || o.V.Shape[1] != cols:
		return nil, shapeError(p, o.V, []int64{k, cols})
	case k > min(rows, cols):
		return nil, shapeError(p, o.S, []int64{min(rows, cols)})
	}
	return newDense(p, o.Class, r, o.fill)
}

func (o OSF) fill(ctx context.Context, b *blocks, delta []float32, base rowReader) error {
	s, err := findSingular(ctx, weights{blocks: *b, base: base})
	if err != nil {
		return err
	}
	k := int(product(o.S.Shape))
	u, v, values, err := s.components(ctx, 0, k)
	if err != nil {
		return err
	}
	for _, x := range [][]float64{u.Data, v.Data, values} {
		roundTo(x, b.dtype)
	}
	newU, newV, newS, err := o.factors()
	if err != nil {
		return err
	}
	scaleColumns(u, values)
	scaleColumns(newU, newS)
	return b.byRows(ctx, func(lo, hi int) error {
		part := general(hi-lo, v.Cols)
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, rowsOf(newU, lo, hi), newV, 0, part)
		blas64.Gemm(blas.NoTrans, blas.NoTrans, -1, rowsOf(u, lo, hi), v, 1, part)
		for i, x := range part.Data {
			delta[lo*v.Cols+i] = float32(x)
		}
		return nil
	})
}

// byRows calls step with some rows at a time.
func (b *blocks) byRows(ctx context.Context, step func(lo, hi int) error) error {
	return b.each(ctx, 0, b.rows, func(lo, hi int64) error { return step(int(lo), int(hi)) })
}

func (o OSF) factors() (u, v blas64.General, s []float64, err error) {
	if u, err = wideMatrix(o.U); err != nil {
		return u, v, nil, err
	}
	if v, err = wideMatrix(o.V); err != nil {
		return u, v, nil, err
	}
	values, err := readAll(o.S)
	return u, v, widen(nil, values), err
}

func rowsOf(m blas64.General, lo, hi int) blas64.General {
	return blas64.General{Rows: hi - lo, Cols: m.Cols, Stride: m.Stride, Data: m.Data[lo*m.Stride:]}
}

func scaleColumns(m blas64.General, by []float64) {
	for i := range m.Rows {
		for j, x := range by {
			m.Data[i*m.Stride+j] *= x
		}
	}
}

// roundTo rounds values to a dtype.
func roundTo(values []float64, d kernel.DType) {
	var one [1]float32
	var raw [4]byte
	for i, x := range values {
		one[0] = float32(x)
		kernel.Store(raw[:d.Size()], one[:], d)
		kernel.Load(one[:], raw[:d.Size()], d)
		values[i] = float64(one[0])
	}
}
