package transform

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"

	"lorafs/lazymerge/transform/torchrand"
)

// maxDecomposed bounds the elements of a delta that is decomposed as a whole: a million
// take seconds, and the time grows with the power 3/2.
const maxDecomposed = 1 << 22

// DecompositionError says that a delta is too large to be decomposed when it is read.
type DecompositionError struct {
	Tensor   string
	Elements int64
}

func (e *DecompositionError) Error() string {
	return fmt.Sprintf("the delta of %q has %d elements; a decomposition of a whole one is made up to %d", e.Tensor, e.Elements, maxDecomposed)
}

// decompose mixes the deltas and cuts their singular value decomposition U·S·V to the
// rank: B = U·S, A = V. In float64, where PEFT has fp32.
func (x *combination) decompose(ctx context.Context, as, bs [][]float32, out, in int) (a, b []float32, err error) {
	var u, v mat.Dense
	var sizes []float64
	if x.thin() {
		left, right := x.sides64(as, bs, out, in)
		sizes, err = thinSVD(left, right, &u, &v)
	} else {
		var delta *mat.Dense
		if delta, err = x.delta(ctx, as, bs, out, in); err == nil {
			sizes, err = svd(delta, &u, &v)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("decompose the delta of %s: %w", x.param.Name, err)
	}
	rank := int(x.lowRank.rank)
	a, b = make([]float32, rank*in), make([]float32, out*rank)
	for k := range min(rank, len(sizes)) {
		for i := range in {
			a[k*in+i] = float32(v.At(i, k))
		}
		for o := range out {
			b[o*rank+k] = float32(u.At(o, k) * sizes[k])
		}
	}
	return a, b, ctx.Err()
}

// thin tells whether the delta is a plain sum of less than full rank.
func (x *combination) thin() bool {
	return x.Blend.Prune == KeepAll && !x.Blend.Elect && x.inner() <= min(x.rows, x.cols)
}

// inner is the ranks together.
func (x *combination) inner() (sum int64) {
	for _, m := range x.of {
		sum += m.rank
	}
	return sum
}

// sides64 is that sum as left·right'.
func (x *combination) sides64(as, bs [][]float32, out, in int) (left, right *mat.Dense) {
	inner := int(x.inner())
	left, right = mat.NewDense(out, inner, nil), mat.NewDense(in, inner, nil)
	at := 0
	for i, m := range x.of {
		rank, w := int(m.rank), x.Weights[i]*x.Of[i].Scale
		for k := range rank {
			for o := range out {
				left.Set(o, at+k, w*float64(bs[i][o*rank+k]))
			}
			for j := range in {
				right.Set(j, at+k, float64(as[i][k*in+j]))
			}
		}
		at += rank
	}
	return left, right
}

// thinSVD decomposes left·right' by way of the two triangles of their QR decompositions.
func thinSVD(left, right *mat.Dense, u, v *mat.Dense) ([]float64, error) {
	ql, rl := qr(left)
	qr, rr := qr(right)
	var core, cu, cv mat.Dense
	core.Mul(rl, rr.T())
	sizes, err := svd(&core, &cu, &cv)
	if err != nil {
		return nil, err
	}
	u.Mul(ql, &cu)
	v.Mul(qr, &cv)
	return sizes, nil
}

// qr is the thin decomposition of a matrix with no more columns than rows.
func qr(m *mat.Dense) (q, r *mat.Dense) {
	rows, cols := m.Dims()
	a := blas64.General{Rows: rows, Cols: cols, Stride: cols, Data: append([]float64(nil), m.RawMatrix().Data...)}
	tau := make([]float64, cols)
	size := make([]float64, 1)
	lapack64.Geqrf(a, tau, size, -1)
	work := make([]float64, int(size[0]))
	lapack64.Geqrf(a, tau, work, len(work))
	r = mat.NewDense(cols, cols, nil)
	for i := range cols {
		copy(r.RawRowView(i)[i:], a.Data[i*cols+i:(i+1)*cols])
	}
	lapack64.Orgqr(a, tau, size, -1)
	work = make([]float64, int(size[0]))
	lapack64.Orgqr(a, tau, work, len(work))
	return mat.NewDense(rows, cols, a.Data), r
}

func svd(m *mat.Dense, u, v *mat.Dense) ([]float64, error) {
	var f mat.SVD
	if r, c := m.Dims(); r == 0 || c == 0 {
		return nil, nil
	}
	if !f.Factorize(m, mat.SVDThin) {
		return nil, fmt.Errorf("the singular values do not converge")
	}
	f.UTo(u)
	f.VTo(v)
	return f.Values(nil), nil
}

// delta mixes the scaled deltas, element by element.
func (x *combination) delta(ctx context.Context, as, bs [][]float32, out, in int) (*mat.Dense, error) {
	deltas, weights := make([][]float32, len(as)), make([]float32, len(as))
	for i, m := range x.of {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d := make([]float32, out*in)
		multiply(d, bs[i], as[i], int(m.rank), in)
		for j := range d {
			d[j] *= float32(x.Of[i].Scale)
		}
		deltas[i], weights[i] = d, float32(x.Weights[i])
	}
	mixed := x.Blend.mix(deltas, weights, torchrand.New(x.Seed))
	wide := make([]float64, len(mixed))
	for i, v := range mixed {
		wide[i] = float64(v)
	}
	return mat.NewDense(out, in, wide), nil
}
