package transform

import (
	"context"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// singular is the singular values and the singular vectors on the smaller side of a
// layer's weights. They are the eigenvectors of W·Wᵀ or Wᵀ·W in fp64, of weights that
// have 24 bits: precise where singular values are apart by a millionth of the largest.
// That takes the memory of a square matrix of the smaller side in fp64, and of the
// vectors that are asked for.
type singular struct {
	w       weights
	outputs bool
	n       int // size of the smaller side
	*eigen
}

// findSingular looks at ctx while it reads the weights and between the steps of the
// decomposition.
func findSingular(ctx context.Context, w weights) (*singular, error) {
	out, in := w.size()
	s := &singular{w: w, outputs: out <= in, n: min(out, in)}
	gram, err := w.gram(ctx, s.outputs)
	if err != nil {
		return s, err
	}
	s.eigen, err = newEigen(ctx, gram)
	return s, err
}

// gram is W·Wᵀ, or Wᵀ·W, of which only the lower half is set where that is enough.
func (w *weights) gram(ctx context.Context, outputs bool) (blas64.General, error) {
	if outputs == w.turned {
		// Products of columns as they are stored: a sum over blocks of rows.
		n := int(w.cols)
		g := general(n, n)
		var wide []float64
		err := w.walk(ctx, w.base, func(block []float32, lo, hi int64) error {
			wide = widen(wide, block)
			part := blas64.General{Rows: int(hi - lo), Cols: n, Stride: max(n, 1), Data: wide}
			blas64.Syrk(blas.Trans, 1, part, 1, blas64.Symmetric{N: n, Stride: max(n, 1), Data: g.Data, Uplo: blas.Lower})
			return nil
		})
		return g, err
	}
	// Products of rows: of many at a time with all up to the last of them.
	n := int(w.rows)
	g := general(n, n)
	step := max(manyElements/max(w.cols, 1), 1)
	for lo := int64(0); lo < w.rows; lo += step {
		a, err := w.read(ctx, lo, min(lo+step, w.rows))
		if err != nil {
			return g, err
		}
		var wide []float64
		err = w.walkRows(ctx, w.base, 0, min(lo+step, w.rows), func(block []float32, from, to int64) error {
			wide = widen(wide, block)
			b := blas64.General{Rows: int(to - from), Cols: a.Cols, Stride: a.Stride, Data: wide}
			part := blas64.General{Rows: a.Rows, Cols: b.Rows, Stride: n, Data: g.Data[int(lo)*n+int(from):]}
			blas64.Gemm(blas.NoTrans, blas.Trans, 1, a, b, 0, part)
			return nil
		})
		if err != nil {
			return g, err
		}
	}
	return g, nil
}

// manyElements bounds the fp64 values of the rows that are held at a time: 64 MiB.
const manyElements = 1 << 23

// read is rows as they are stored.
func (w *weights) read(ctx context.Context, lo, hi int64) (blas64.General, error) {
	m := general(int(hi-lo), int(w.cols))
	err := w.walkRows(ctx, w.base, lo, hi, func(block []float32, from, to int64) error {
		widen(m.Data[(from-lo)*w.cols:], block)
		return nil
	})
	return m, err
}

// part is the sum of some singular components of W, those of vectors [from,to) by rising
// value, as B·A with orthonormal columns in B (outputs) or rows in A.
func (s *singular) part(ctx context.Context, from, to int) (b, a blas64.General, err error) {
	v, err := s.vectors(ctx, from, to)
	if err != nil {
		return b, a, err
	}
	if s.outputs {
		a, err = s.w.project(ctx, v)
		return v, a, err
	}
	other := s.w
	other.turned = !other.turned // project is of the outputs: of Wᵀ they are the inputs
	m, err := other.project(ctx, v)
	return flip(m), flip(v), err
}

func flip(m blas64.General) blas64.General {
	return blas64.General{Rows: m.Cols, Cols: m.Rows, Stride: max(m.Rows, 1), Data: transposed(m.Data, m.Rows)}
}

// components are U, S and V of vectors [from,to), by falling value: U·diag(S)·V is their
// part of W.
func (s *singular) components(ctx context.Context, from, to int) (u, v blas64.General, values []float64, err error) {
	u, v, err = s.part(ctx, from, to)
	if err != nil {
		return u, v, nil, err
	}
	for i := range to - from {
		value := math.Sqrt(max(s.values[from+i], 0))
		values = append(values, value)
		inverse := 0.0
		if value > 0 {
			inverse = 1 / value
		}
		if s.outputs {
			blas64.Scal(inverse, blas64.Vector{N: v.Cols, Inc: 1, Data: v.Data[i*v.Stride:]})
		} else {
			blas64.Scal(inverse, blas64.Vector{N: u.Rows, Inc: u.Stride, Data: u.Data[i:]})
		}
	}
	return u, v, values, nil
}
