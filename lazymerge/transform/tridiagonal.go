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
	a      blas64.General // row i holds the vector of the reflection i of Q, of length i
	tau    []float64      // of the reflections
	d, e   []float64      // T's diagonal and the one beside it
	values []float64      // rising
	norm   float64        // of T, or a bound
}

// newEigen overwrites a, of which it reads the lower half.
func newEigen(ctx context.Context, a blas64.General) (*eigen, error) {
	n := a.Rows
	x := &eigen{a: a, d: make([]float64, n), e: make([]float64, max(n-1, 0)), tau: make([]float64, n)}
	if n == 0 {
		return x, ctx.Err()
	}
	if sum := floats.Sum(a.Data); sum-sum != 0 {
		return nil, errNotFinite
	}
	if err := x.reduce(ctx); err != nil {
		return nil, err
	}
	x.values = append(x.values, x.d...)
	if !lapackImpl.Dsterf(n, x.values, append([]float64(nil), x.e...)) {
		return nil, errDecomposition
	}
	x.norm = max(math.Abs(x.values[0]), math.Abs(x.values[n-1]))
	return x, ctx.Err()
}

// row is the lower part of a row of a.
func (x *eigen) row(i int) []float64 { return x.a.Data[i*x.a.Stride:][:i+1] }

// panel is how many rows are reduced before those above them follow.
const panel = 32

// reduce makes the matrix tridiagonal by Householder reflections, from the last row up,
// and looks at ctx between panels. The rows above a panel lag behind by v·wᵀ + w·vᵀ of
// each of its reflections (Dongarra, Hammarling and Sorensen 1989).
func (x *eigen) reduce(ctx context.Context) error {
	n := x.a.Rows
	w := general(panel, n)
	for below := n; below > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		first := max(below-panel, 0)
		for i := below - 1; i >= first; i-- {
			x.reflect(i, below-i-1, w.Data[(i-first)*n:], n)
		}
		if first > 0 {
			blas64.Syr2k(blas.Trans, -1,
				blas64.General{Rows: below - first, Cols: first, Stride: x.a.Stride, Data: x.a.Data[first*x.a.Stride:]},
				blas64.General{Rows: below - first, Cols: first, Stride: n, Data: w.Data}, 1,
				blas64.Symmetric{N: first, Stride: x.a.Stride, Data: x.a.Data, Uplo: blas.Lower})
		}
		below = first
	}
	return nil
}

// reflect reduces row i. The vectors v of the panel's reflections before it stand in the
// rows below, their w in the rows of w below its first, stride elements apart.
func (x *eigen) reflect(i, before int, w []float64, stride int) {
	row := x.row(i)
	for k := 1; k <= before; k++ {
		v, u := x.row(i+k), w[k*stride:][:i+1]
		floats.AddScaled(row, -u[i], v[:i+1])
		floats.AddScaled(row, -v[i], u)
	}
	x.d[i] = row[i]
	if i == 0 {
		return
	}
	v, own := row[:i], w[:i]
	x.e[i-1], x.tau[i] = lapackImpl.Dlarfg(i, v[i-1], v[:i-1], 1)
	v[i-1] = 1
	x.times(own, v)
	for k := 1; k <= before; k++ {
		v2, u := x.row(i + k)[:i], w[k*stride:][:i]
		byV, byU := floats.Dot(v2, v), floats.Dot(u, v)
		floats.AddScaled(own, -byU, v2)
		floats.AddScaled(own, -byV, u)
	}
	floats.Scale(x.tau[i], own)
	floats.AddScaled(own, -x.tau[i]/2*floats.Dot(own, v), v)
}

// times sets y to the product of the first rows and columns with v.
func (x *eigen) times(y, v []float64) {
	for i := range v {
		row := x.row(i)
		y[i] = floats.Dot(row, v[:i+1])
		floats.AddScaled(y[:i], v[i], row[:i])
	}
}

// turn multiplies the rows of v by Q: it applies the reflections, of which the one i
// changes the elements before i.
func (x *eigen) turn(ctx context.Context, v blas64.General) error {
	for i := 1; i < v.Cols; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		r := x.row(i)[:i]
		for k := range v.Rows {
			row := v.Data[k*v.Stride:][:i]
			floats.AddScaled(row, -x.tau[i]*floats.Dot(row, r), r)
		}
	}
	return nil
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
	if err := x.turn(ctx, found); err != nil {
		return found, err
	}
	return flip(found), nil
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
			y += float64(x.e[i-1] * v[i-1])
		}
		if i+1 < len(v) {
			y += float64(x.e[i] * v[i+1])
		}
		sum += float64(y * y)
	}
	return math.Sqrt(sum)
}
