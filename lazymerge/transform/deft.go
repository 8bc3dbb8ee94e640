package transform

import (
	"context"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"

	"lorafs/safetensors"
)

// DEFT takes W's part in a subspace away and puts another in its place: it adds
// Q·(Scale·R − Tᵀ·W), where Q = P and T = relu(P), or both are the orthonormal columns
// of P's QR decomposition (peft tuners/deft/layer.py:226 @0.21.2).
type DEFT struct {
	P, R       *safetensors.Tensor // [out, r], [r, in]; R is nil in PaRa, which only takes away
	Orthogonal bool
	Scale      float64
	Class      Class
}

var _ Transform = DEFT{}

// Describe implements Transform.
func (d DEFT) Describe() Description {
	return Description{Type: "deft", Rank: int(d.rank()), Scaling: d.Scale}
}

func (d DEFT) rank() int64 {
	_, r := flatten(d.P.Shape)
	return r
}

// Tensors implements Transform.
func (d DEFT) Tensors() []*safetensors.Tensor {
	if d.R == nil {
		return []*safetensors.Tensor{d.P}
	}
	return []*safetensors.Tensor{d.P, d.R}
}

// widestSum bounds how far a sum of products of a unit vector with weights exceeds the
// largest of them, over up to 65,536 weights.
const widestSum = 256

// Range implements Ranged.
func (d DEFT) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	p, square := norm(d.P), norm(d.P)*norm(d.P)
	if d.Orthogonal {
		p, square = 1, 1
	}
	if d.R != nil {
		added = abs(d.Scale) * p * norm(d.R)
	}
	return added, 1 + widestSum*square
}

// Bind implements Transform.
func (d DEFT) Bind(p Param, r Rounding) (Bound, error) {
	if err := needFloats(d.Tensors()...); err != nil {
		return nil, err
	}
	if len(p.Shape) != 2 || len(d.P.Shape) != 2 {
		return nil, shapeError(p, d.P, []int64{-1, -1})
	}
	out, in := p.sides(d.P.Shape[0])
	if d.P.Shape[0] != out || d.rank() > out {
		return nil, shapeError(p, d.P, []int64{out, -1})
	}
	if d.R != nil && (len(d.R.Shape) != 2 || d.R.Shape[0] != d.rank() || d.R.Shape[1] != in) {
		return nil, shapeError(p, d.R, []int64{d.rank(), in})
	}
	turned := p.along(d.P.Shape[0], false) == alongColumns
	return newBaseFactors(p, turned, d.rank(), 1, d.Class.passes(r), d.make)
}

func (d DEFT) make(ctx context.Context, w weights) (b, a []float32, err error) {
	b, err = readAll(d.P)
	if err != nil {
		return nil, nil, err
	}
	t := blas64.General{Rows: int(d.P.Shape[0]), Cols: int(d.rank()), Stride: int(d.rank()), Data: widen(nil, b)}
	if d.Orthogonal {
		if err := orthonormal(t); err != nil {
			return nil, nil, err
		}
		b = narrow(t.Data)
	} else {
		for i, x := range t.Data {
			t.Data[i] = max(x, 0)
		}
	}
	m, err := w.project(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	a = make([]float32, len(m.Data))
	if d.R != nil {
		if err := ReadFloats(a, d.R, 0); err != nil {
			return nil, nil, err
		}
	}
	scale := float32(d.Scale)
	for i, x := range a {
		a[i] = float32(float64(x*scale) - m.Data[i])
	}
	return b, a, nil
}

// orthonormal puts Q of a = Q·R in the place of a, which has at least as many rows as
// columns, with LAPACK's signs.
func orthonormal(a blas64.General) error {
	if sum := floats.Sum(a.Data); sum-sum != 0 {
		return errNotFinite
	}
	tau := make([]float64, a.Cols)
	size := make([]float64, 1)
	lapack64.Geqrf(a, tau, size, -1)
	work := make([]float64, int(size[0]))
	lapack64.Geqrf(a, tau, work, len(work))
	lapack64.Orgqr(a, tau, size, -1)
	work = grow(work, int(size[0]))
	lapack64.Orgqr(a, tau, work, len(work))
	return nil
}

// readAll is all elements of t, widened.
func readAll(t *safetensors.Tensor) ([]float32, error) {
	values := make([]float32, product(t.Shape))
	return values, ReadFloats(values, t, 0)
}
