package transform

import (
	"context"
	"errors"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"lorafs/lazymerge/kernel"
)

// baseFactors adds Scale·B·A, where B[out, rank] and A[rank, in] depend on the base's
// weights: on all of them, so that both are made once for a tensor. Packed they take
// four bytes for each of rank·(out + in) elements, the right one as the kernel takes
// it, then the left one by rows.
type baseFactors struct {
	*lowRank
	make   makeFactors
	turned bool
}

// makeFactors makes B and A, row by row, from the weights of a layer. It honours ctx.
type makeFactors func(ctx context.Context, w weights) (b, a []float32, err error)

var _ FromBase = (*baseFactors)(nil)

func newBaseFactors(p Param, turned bool, rank int64, scale float64, passes []pass, fill makeFactors) (*baseFactors, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	rows, cols := flatten(p.Shape)
	l := &lowRank{param: p, dtype: dtype, scale: scale, passes: passes, beside: true}
	l.factors = factors{rows: rows, cols: cols, rank: rank, left: heldFactor{0}}
	return &baseFactors{lowRank: l, make: fill, turned: turned}, nil
}

func (b *baseFactors) PackSize() int64 { return b.packSize() + 4*b.rows*b.rank }

// Pack cannot do without the base.
func (b *baseFactors) Pack(context.Context, []byte) error { return errNeedsBase }

var errNeedsBase = errors.New("transform: the factors depend on the base")

func (b *baseFactors) PackFrom(ctx context.Context, dst []byte, base rowReader) error {
	if b.rank == 0 {
		return nil
	}
	left, right, err := b.make(ctx, weights{newBlocks(b.param, b.dtype), base, b.turned})
	if err != nil {
		return err
	}
	rank := int(b.rank)
	if b.turned {
		left, right = transposed(right, rank), transposed(left, int(b.cols))
	}
	p := kernel.NewPacker(dst, rank, int(b.cols))
	for k := range rank {
		p.Row(k, 0, right[k*int(b.cols):][:b.cols])
	}
	p.Finish()
	copy(b.held(dst), left)
	return nil
}

// transposed is the transpose of a matrix of some rows.
func transposed[T any](m []T, rows int) []T {
	t := make([]T, len(m))
	cols := len(m) / max(rows, 1)
	for i := range rows {
		for j := range cols {
			t[j*rows+i] = m[i*cols+j]
		}
	}
	return t
}

// weights are those of a layer, W[out, in], in the base.
type weights struct {
	blocks
	base   rowReader
	turned bool // stored as [in, out]
}

// size is the number of outputs and inputs.
func (w *weights) size() (out, in int) {
	if w.turned {
		return int(w.cols), int(w.rows)
	}
	return int(w.rows), int(w.cols)
}

// project is Tᵀ·W, [rank, in], of a matrix T[out, rank]. It reads W in blocks.
func (w *weights) project(ctx context.Context, t blas64.General) (blas64.General, error) {
	_, in := w.size()
	m := general(t.Cols, in)
	var wide []float64
	err := w.walk(ctx, w.base, func(block []float32, lo, hi int64) error {
		wide = widen(wide, block)
		n := int(hi - lo)
		part := blas64.General{Rows: n, Cols: int(w.cols), Stride: max(int(w.cols), 1), Data: wide}
		if w.turned {
			// Some inputs, with all of their weights.
			some := blas64.General{Rows: m.Rows, Cols: n, Stride: m.Stride, Data: m.Data[lo:]}
			blas64.Gemm(blas.Trans, blas.Trans, 1, t, part, 0, some)
			return nil
		}
		rows := blas64.General{Rows: n, Cols: t.Cols, Stride: t.Stride, Data: t.Data[int(lo)*t.Stride:]}
		blas64.Gemm(blas.Trans, blas.NoTrans, 1, rows, part, 1, m)
		return nil
	})
	return m, err
}

// general is a matrix of zeros.
func general(rows, cols int) blas64.General {
	return blas64.General{Rows: rows, Cols: cols, Stride: max(cols, 1), Data: make([]float64, rows*cols)}
}

func widen(dst []float64, src []float32) []float64 {
	dst = grow(dst, len(src))
	for i, x := range src {
		dst[i] = float64(x)
	}
	return dst
}

// narrow rounds values to fp32.
func narrow(src []float64) []float32 {
	dst := make([]float32, len(src))
	for i, x := range src {
		dst[i] = float32(x)
	}
	return dst
}
