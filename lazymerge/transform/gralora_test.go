package transform_test

import (
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestGrains(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	const k, in, out, rank, q = 2, 3, 4, 6, 3
	m := transform.Grains{A: random(t, r, "a", safetensors.F32, k, in, rank), B: random(t, r, "b", safetensors.BF16, k, rank, out)}
	a, b := floatsOf(t, m.A), floatsOf(t, m.B)
	checkMatrix(t, m, func(row, col int64) float64 {
		j, o, n, i := row/out, row%out, col/in, col%in
		sum := 0.0
		for x := range int64(q) {
			sum += float64(b[(j*rank+n*q+x)*out+o]) * float64(a[(n*in+i)*rank+j*q+x])
		}
		return sum
	})
	m.A = random(t, r, "a", safetensors.F32, k, in, 5)
	if err := m.Check(); err == nil {
		t.Error("5 terms for 2 parts pass")
	}
}

func TestSum(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	x, y := random(t, r, "x", safetensors.F32, 5, 4), random(t, r, "y", safetensors.F32, 5, 4)
	xv, yv := floatsOf(t, x), floatsOf(t, y)
	checkMatrix(t, transform.Sum{X: transform.Stored{Tensor: x}, Y: transform.Stored{Tensor: y}},
		func(i, j int64) float64 { return float64(xv[i*4+j]) + float64(yv[i*4+j]) })
}
