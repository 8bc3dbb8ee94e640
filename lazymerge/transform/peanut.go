package transform

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"lorafs/safetensors"
)

// Peanut adds Scale·B·H, where a small network makes H[r, in] of the weights: A·W
// through an activation, then encoders and decoders, each with an activation, where a
// decoder's output has what its encoder got added (peft tuners/peanut/layer.py:134
// @0.21.2).
type Peanut struct {
	A, B               *safetensors.Tensor   // [r, out], [out, r]
	Encoders, Decoders []*safetensors.Tensor // as many, [r, r]
	Activation         string                // that HasActivation
	Scale              float64
	Class              Class
}

var _ Transform = Peanut{}

// Describe implements Transform.
func (n Peanut) Describe() Description {
	rank, _ := flatten(n.A.Shape)
	return Description{Type: "peanut", Rank: int(rank), Scaling: n.Scale}
}

// Tensors implements Transform.
func (n Peanut) Tensors() []*safetensors.Tensor {
	all := []*safetensors.Tensor{n.A, n.B}
	return append(append(all, n.Encoders...), n.Decoders...)
}

// Range implements Ranged.
func (n Peanut) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	if norm(n.B) == 0 || n.Scale == 0 {
		return 0, 1
	}
	return math.Inf(1), 1
}

// Bind implements Transform.
func (n Peanut) Bind(p Param, r Rounding) (Bound, error) {
	if err := needFloats(n.Tensors()...); err != nil {
		return nil, err
	}
	if len(p.Shape) != 2 || len(n.A.Shape) != 2 {
		return nil, shapeError(p, n.A, []int64{-1, -1})
	}
	rank := n.A.Shape[0]
	out, _ := p.sides(n.A.Shape[1])
	if n.A.Shape[1] != out {
		return nil, shapeError(p, n.A, []int64{rank, out})
	}
	if len(n.B.Shape) != 2 || n.B.Shape[0] != out || n.B.Shape[1] != rank {
		return nil, shapeError(p, n.B, []int64{out, rank})
	}
	for _, t := range append(n.Encoders[:len(n.Encoders):len(n.Encoders)], n.Decoders...) {
		if len(t.Shape) != 2 || t.Shape[0] != rank || t.Shape[1] != rank {
			return nil, shapeError(p, t, []int64{rank, rank})
		}
	}
	turned := p.along(out, false) == alongColumns
	return newBaseFactors(p, turned, rank, n.Scale, n.Class.passes(r), n.make)
}

func (n Peanut) make(ctx context.Context, w weights) (b, a []float32, err error) {
	t, err := wideMatrix(n.A)
	if err != nil {
		return nil, nil, err
	}
	turned := blas64.General{Rows: t.Cols, Cols: t.Rows, Stride: t.Rows, Data: transposed(t.Data, t.Rows)}
	h, err := w.project(ctx, turned)
	if err != nil {
		return nil, nil, err
	}
	activate := activations[n.Activation]
	apply(h, activate)
	if h, err = n.code(ctx, h, activate); err != nil {
		return nil, nil, err
	}
	b, err = readAll(n.B)
	return b, narrow(h.Data), err
}

// code runs the encoders and decoders.
func (n Peanut) code(ctx context.Context, h blas64.General, activate func(float64) float64) (blas64.General, error) {
	var kept []blas64.General
	for _, t := range n.Encoders {
		kept = append(kept, h)
		next, err := layer(ctx, t, h)
		if err != nil {
			return h, err
		}
		apply(next, activate)
		h = next
	}
	for i, t := range n.Decoders {
		next, err := layer(ctx, t, h)
		if err != nil {
			return h, err
		}
		apply(next, activate)
		for j, x := range kept[len(kept)-1-i].Data {
			next.Data[j] += x
		}
		h = next
	}
	return h, nil
}

// layer is t·h.
func layer(ctx context.Context, t *safetensors.Tensor, h blas64.General) (blas64.General, error) {
	next := general(h.Rows, h.Cols)
	if err := ctx.Err(); err != nil {
		return next, err
	}
	w, err := wideMatrix(t)
	if err == nil {
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, w, h, 0, next)
	}
	return next, err
}

// apply changes all elements. Each was rounded to fp32 before, as torch has them.
func apply(m blas64.General, f func(float64) float64) {
	for i, x := range m.Data {
		m.Data[i] = f(float64(float32(x)))
	}
}

// wideMatrix is a tensor of two dimensions in fp64.
func wideMatrix(t *safetensors.Tensor) (blas64.General, error) {
	rows, cols := flatten(t.Shape)
	values, err := readAll(t)
	return blas64.General{Rows: int(rows), Cols: int(cols), Stride: max(int(cols), 1), Data: widen(nil, values)}, err
}
