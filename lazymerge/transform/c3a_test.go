package transform_test

import (
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestCirculant(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	k := random(t, r, "kernel", safetensors.F32, 2, 3, 4)
	v := floatsOf(t, k)
	want := func(i, j int64) float64 { return float64(v[(i/4*3+j/4)*4+(j%4-i%4+4)%4]) }
	checkMatrix(t, transform.Circulant{Kernel: k}, want)
	checkMatrix(t, transform.Quotient{Of: transform.Circulant{Kernel: k}, By: 3}, func(i, j int64) float64 { return want(i, j) / 3 })
}
