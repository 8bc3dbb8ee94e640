package transform_test

import (
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestDiagonal(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 7))
	d := random(t, r, "d", safetensors.BF16, 6, 3)
	dv := floatsOf(t, d)
	checkMatrix(t, transform.Diagonal{Of: d, Blocks: 3}, func(i, j int64) float64 {
		if j/3 != i/2 {
			return 0
		}
		return float64(dv[i*3+j%3])
	})
	if err := (transform.Diagonal{Of: d, Blocks: 4}).Check(); err == nil {
		t.Error("6 rows in 4 blocks pass")
	}
}
