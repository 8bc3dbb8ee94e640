package transform_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestBases(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	m := transform.Bases{
		Lambda: random(t, r, "lambda", safetensors.F32, 3, 2),
		Gamma:  random(t, r, "gamma", safetensors.BF16, 2, 5),
		A:      random(t, r, "a", safetensors.F16, 3, 1, 7),
	}
	l, g, a := floatsOf(t, m.Lambda), floatsOf(t, m.Gamma), floatsOf(t, m.A)
	checkMatrix(t, m, func(i, j int64) float64 {
		return float64(l[i]) * float64(a[i/2*7+j]) * float64(g[i%2*5+j])
	})
	m.A = random(t, r, "a", safetensors.F32, 3, 1, 4)
	if err := m.Check(); err == nil {
		t.Error("a basis narrower than its scales passes")
	}
}

func TestRandLoRASides(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 5))
	lambda, gamma := random(t, r, "lambda", safetensors.F32, 2, 2), random(t, r, "gamma", safetensors.F32, 2, 3)
	a, b := random(t, r, "a", safetensors.F32, 2, 1, 4), random(t, r, "b", safetensors.F32, 6, 3, 2)
	l, g, av, bv := floatsOf(t, lambda), floatsOf(t, gamma), floatsOf(t, a), floatsOf(t, b)
	delta := func(wide, narrow int64) float64 { // Σ over q of B's q-th and S's q-th
		sum := 0.0
		for q := range int64(4) {
			sum += float64(bv[wide*6+q]) * float64(l[q]*av[q/2*4+narrow]*g[q%2*3+narrow])
		}
		return sum * 3
	}
	for _, x := range []struct {
		rows, cols int64
		conv1d     bool
		wide       func(i, j int64) (int64, int64)
	}{
		{5, 3, false, func(i, j int64) (int64, int64) { return i, j }},
		{3, 5, false, func(i, j int64) (int64, int64) { return j, i }},
		{3, 5, true, func(i, j int64) (int64, int64) { return j, i }},
		{5, 3, true, func(i, j int64) (int64, int64) { return i, j }},
		{3, 3, false, func(i, j int64) (int64, int64) { return i, j }},
		{3, 3, true, func(i, j int64) (int64, int64) { return j, i }},
	} {
		w := tensor(t, "w", safetensors.F32, make([]float32, x.rows*x.cols), x.rows, x.cols)
		p := param(w)
		p.Conv1D = x.conv1d
		bound, packed := bindPacked(t, transform.RandLoRA{Lambda: lambda, Gamma: gamma, A: a, B: b, Scale: 3}, p, transform.PEFT, bytesOf(t, w))
		dst := make([]byte, 4*x.rows*x.cols)
		if err := bound.Rows(t.Context(), dst, bytesOf(t, w), packed, 0, x.rows); err != nil {
			t.Fatal(err)
		}
		for i := range x.rows {
			for j := range x.cols {
				got := math.Float32frombits(binary.LittleEndian.Uint32(dst[4*(i*x.cols+j):]))
				if want := delta(x.wide(i, j)); math.Abs(float64(got)-want) > 1e-6 {
					t.Fatalf("%+v: element (%d, %d) is %g, want %g", x, i, j, got, want)
				}
			}
		}
	}
}
