package kernel_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/kernel"
)

// vectorResults are those of all functions over runs of values, in the current tier.
type vectorResults struct {
	stored, added []byte
	ok, finite    bool
	bad           int
	loaded        []float32
	product       []float32
	multiplied    []float32
	squares       float64
}

func runVectors(src []byte, x, y []float32, by float32, d kernel.DType, shift int) vectorResults {
	n := len(x)
	var r vectorResults
	r.stored = shifted(make([]byte, n*d.Size()), shift)
	r.ok = kernel.StoreScaled(r.stored, x, by, d)
	r.added = shifted(src, shift)
	r.bad = kernel.AddScaled(r.added, r.added, x, by, d)
	r.loaded = make([]float32, n)
	kernel.Load(r.loaded, shifted(src, shift), d)
	r.product = append([]float32(nil), x...)
	kernel.Mul(r.product, y)
	left := y[:min(1+n%7, n)]
	r.multiplied = make([]float32, n/max(len(left), 1))
	kernel.Product(r.multiplied, left, x[:len(r.multiplied)*len(left)])
	r.squares, r.finite = kernel.Squares(new([16]float64), x), kernel.Finite(x)
	return r
}

// sameBits compares two results, all NaNs being equal.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s: value %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}

// TestVectors holds the functions over runs of values against pure Go.
func TestVectors(t *testing.T) {
	before := kernel.Default
	defer func() { kernel.Default = before }()
	for _, tier := range assembled() {
		t.Run(tier.Name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(51, 52))
			for n := range 400 {
				size, d := r.IntN(100), dtypes[n%3]
				if n%40 == 0 {
					size = 1<<15 + 40
				}
				draw := patterns[n%len(patterns)]
				often := []int{1, 20, 2000}[n%7%3]
				values := func() []float32 {
					v := make([]float32, size)
					for i := range v {
						if v[i] = float32(r.NormFloat64()); r.IntN(often) == 0 {
							v[i] = draw(r)
						}
					}
					return v
				}
				x, y, weights := values(), values(), values()
				src := make([]byte, size*d.Size())
				kernel.Store(src, weights, d)
				by := []float32{1, 0.3, -2}[r.IntN(3)]
				kernel.Default = pure()
				want := runVectors(src, x, y, by, d, 0)
				kernel.Default = tier
				got := runVectors(src, x, y, by, d, 2*n%64)
				what := fmt.Sprintf("case %d: dtype %d, %d values", n, d, size)
				if !bytes.Equal(got.stored, want.stored) || got.ok != want.ok {
					t.Fatalf("%s: stored otherwise (%v, %v)", what, got.ok, want.ok)
				}
				if !bytes.Equal(got.added, want.added) || got.bad != want.bad {
					t.Fatalf("%s: added otherwise (%d, %d)", what, got.bad, want.bad)
				}
				sameBits(t, what, got.loaded, want.loaded)
				sameBits(t, what, got.product, want.product)
				sameBits(t, what, got.multiplied, want.multiplied)
				if got.finite != want.finite || math.Float64bits(got.squares) != math.Float64bits(want.squares) && want.squares == want.squares {
					t.Fatalf("%s: squares %g and %v, want %g and %v", what, got.squares, got.finite, want.squares, want.finite)
				}
			}
		})
	}
}

// TestVectorsInside crashes where the functions read or write outside.
func TestVectorsInside(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for n := range 70 {
			for _, d := range dtypes {
				for _, atEnd := range []bool{false, true} {
					x := make([]float32, n)
					src := fence(t, make([]byte, n*d.Size()), atEnd)
					kernel.Load(x, src, d)
					kernel.StoreScaled(src, x, 2, d)
					kernel.AddScaled(src, src, x, 2, d)
				}
			}
		}
	})
}
