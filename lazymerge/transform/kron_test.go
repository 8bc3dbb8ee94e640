package transform_test

import (
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestKron(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	x := random(t, r, "x", safetensors.F32, 3, 4)
	y := random(t, r, "y", safetensors.BF16, 5, 2, 3)
	xs, ys := floatsOf(t, x), floatsOf(t, y)
	checkMatrix(t, transform.Kron{X: transform.Stored{Tensor: x}, Y: transform.Stored{Tensor: y}}, func(i, j int64) float64 {
		return float64(xs[i/5*4+j/6]) * float64(ys[i%5*6+j%6])
	})
	// torch.kron of [3, 4] and [5, 2, 3] is [5, 6, 12], which is stored as [15, 8, 3].
	checkMatrix(t, transform.KernelKron{X: transform.Stored{Tensor: x}, Y: y}, func(i, j int64) float64 {
		flat := i*24 + j
		p, q, s := flat/72, flat/12%6, flat%12
		return float64(xs[q/2*4+s/3]) * float64(ys[p*6+q%2*3+s%3])
	})
}
