package transform_test

import (
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestWeighted(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 6))
	v, p := random(t, r, "v", safetensors.F16, 3), random(t, r, "p", safetensors.F32, 3, 4, 5)
	vv, pv := floatsOf(t, v), floatsOf(t, p)
	checkMatrix(t, transform.Weighted{V: v, P: p}, func(i, j int64) float64 {
		sum := 0.0
		for k := range int64(3) {
			sum += float64(vv[k]) * float64(pv[(k*4+i)*5+j])
		}
		return sum
	})
}
