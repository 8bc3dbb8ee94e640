package transform

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/gonum"
)

var lapackImpl gonum.Implementation

// eigen is a symmetric matrix as Q·T·Qᵀ, T tridiagonal, with its eigenvalues. Single
// eigenvectors come by inverse iteration: all of them by QR steps, as LAPACK's syev has
// them, take ten times as long.
type eigen struct {
	q      blas64.General
	d, e   []float64 // T's diagonal and the one beside it
	values []float64 // rising
	norm   float64   // of T, or a bound
}

// newEigen overwrites a, of which it reads the upper half.
func newEigen(ctx context.Context, a blas64.General) (*eigen, error) {
	n := a.Rows
	x := &eigen{q: a, d: make([]float64, n), e: make([]float64, max(n-1, 0))}
	if n == 0 {
		return x, ctx.Err()
	}
	if sum := floats.Sum(a.Data); sum-sum != 0 {
		return nil, errNotFinite
	}
	tau := make([]float64, max(n-1, 1))
	work := make([]float64, 64*n)
	lapackImpl.Dsytrd(blas.Upper, n, a.Data, a.Stride, x.d, x.e, tau, work, len(work))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lapackImpl.Dorgtr(blas.Upper, n, a.Data, a.Stride, tau, work, len(work))
	x.values = append(x.values, x.d...)
	if !lapackImpl.Dsterf(n, x.values, append([]float64(nil), x.e...)) {
		return nil, errDecomposition
	}
	x.norm = max(math.Abs(x.values[0]), math.Abs(x.values[n-1]))
	return x, ctx.Err()
}

// vectors are the eigenvectors [from,to) by rising value, in columns.
func (x *eigen) vectors(ctx context.Context, from, to int) (blas64.General, error) {
	n := len(x.d)
	found := general(to-from, n)
	row := func(i int) []float64 { return found.Data[i*found.Stride:][:n] }
	shift := math.Inf(-1)
	for i := range to - from {
		if err := ctx.Err(); err != nil {
			return found, err
		}
		// Equal values get shifts that differ, so that the vectors do.
		shift = max(x.values[from+i], shift+10*ulp*x.norm)
		near := i
		for near > 0 && x.values[from+i]-x.values[from+near-1] < 1e-3*x.norm {
			near--
		}
		if !x.iterate(row(i), x.values[from+i], shift, i, func(v []float64) {
			for j := near; j < i; j++ {
				floats.AddScaled(v, -floats.Dot(v, row(j)), row(j))
			}
		}) {
			return found, errDecomposition
		}
	}
	v := general(n, to-from)
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, x.q, found, 0, v)
	return v, nil
}

var (
	errDecomposition = errors.New("the decomposition of the weights does not converge")
	errNotFinite     = errors.New("weights that are not finite have no decomposition")
)

const ulp = 0x1p-52

// iterate sets v to an eigenvector of the value, which shift is next to, and tells
// whether it is one. project takes the vectors off that are known.
func (x *eigen) iterate(v []float64, value, shift float64, seed int, project func([]float64)) bool {
	n := len(v)
	r := rand.New(rand.NewPCG(1, uint64(seed)))
	for i := range v {
		v[i] = r.NormFloat64()
	}
	below, diagonal, above := make([]float64, len(x.e)), make([]float64, n), make([]float64, len(x.e))
	for range 8 {
		normalise(v, project)
		copy(below, x.e)
		copy(above, x.e)
		for i, d := range x.d {
			diagonal[i] = d - shift
		}
		if !lapackImpl.Dgtsv(n, 1, below, diagonal, above, v, 1) {
			shift += ulp * max(x.norm, math.SmallestNonzeroFloat64/ulp)
			continue
		}
		normalise(v, project)
		if x.residual(v, value) <= 1e-11*x.norm {
			return true
		}
	}
	return x.norm == 0
}

func normalise(v []float64, project func([]float64)) {
	for range 2 { // the second time what rounding left of the others
		floats.Scale(1/max(floats.Norm(v, math.Inf(1)), math.SmallestNonzeroFloat64), v)
		project(v)
		floats.Scale(1/floats.Norm(v, 2), v)
	}
}

// residual is the norm of T·v - value·v.
func (x *eigen) residual(v []float64, value float64) float64 {
	sum := 0.0
	for i, d := range x.d {
		y := (d - value) * v[i]
		if i > 0 {
			y += x.e[i-1] * v[i-1]
		}
		if i+1 < len(v) {
			y += x.e[i] * v[i+1]
		}
		sum += y * y
	}
	return math.Sqrt(sum)
}
