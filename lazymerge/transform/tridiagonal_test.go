package transform

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// TestEigen: vectors of some values are orthonormal and eigenvectors, where values
// repeat, are zero, or are all one, and where the matrix falls apart.
func TestEigen(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	product := func(n, rank int) blas64.General {
		x, g := general(n, rank), general(n, n)
		for i := range x.Data {
			x.Data[i] = r.NormFloat64()
		}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, x, x, 0, g)
		return g
	}
	diagonal := func(values ...float64) blas64.General {
		g := general(len(values), len(values))
		for i, x := range values {
			g.Data[i*(len(values)+1)] = x
		}
		return g
	}
	for name, g := range map[string]blas64.General{
		"full": product(60, 60), "deficient": product(300, 40), "one": product(1, 1),
		"zero": general(7, 7), "identity": diagonal(1, 1, 1, 1, 1), "repeated": diagonal(2, 0, 2, 0, 5, 5, 5),
		"tiny": diagonal(1e-40, 2e-40, 2e-40), "huge": diagonal(1e70, 1, 1e70),
	} {
		n := g.Rows
		x, err := newEigen(t.Context(), blas64.General{Rows: n, Cols: n, Stride: n, Data: append([]float64(nil), g.Data...)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, part := range [][2]int{{0, n}, {0, (n + 1) / 2}, {n / 3, n}} {
			v, err := x.vectors(t.Context(), part[0], part[1])
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			square, image := general(v.Cols, v.Cols), general(n, v.Cols)
			blas64.Gemm(blas.Trans, blas.NoTrans, 1, v, v, 0, square)
			blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, g, v, 0, image)
			for i, y := range square.Data {
				if want := map[bool]float64{true: 1}[i%(v.Cols+1) == 0]; math.Abs(y-want) > 1e-10 {
					t.Fatalf("%s %v: Vᵀ·V has %g for %g", name, part, y, want)
				}
			}
			for i, y := range image.Data {
				if want := v.Data[i] * x.values[part[0]+i%v.Cols]; math.Abs(y-want) > 1e-10*x.norm {
					t.Fatalf("%s %v: G·V has %g for %g", name, part, y, want)
				}
			}
		}
	}
	bad := general(3, 3)
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		bad.Data[1] = x
		if _, err := newEigen(t.Context(), bad); err != errNotFinite {
			t.Errorf("%g: %v", x, err)
		}
		if err := orthonormal(bad); err != errNotFinite {
			t.Errorf("%g: %v", x, err)
		}
	}
}

// impatient is a context that is cancelled after some questions.
type impatient struct {
	context.Context
	left int
}

func (c *impatient) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestEigenStops: between panels and between reflections a decomposition can be
// cancelled.
func TestEigenStops(t *testing.T) {
	const n = 4*panel + 3
	r := rand.New(rand.NewPCG(13, 14))
	for left := 0; ; left++ {
		g := general(n, n)
		for i := range g.Data {
			g.Data[i] = r.NormFloat64()
		}
		ctx := &impatient{t.Context(), left}
		x, err := newEigen(ctx, g)
		if err == nil {
			_, err = x.vectors(ctx, n-2, n)
		}
		if err == nil {
			if left < n/panel+n {
				t.Errorf("asked %d times only", left)
			}
			return
		}
		if err != context.Canceled {
			t.Fatal(err)
		}
	}
}
