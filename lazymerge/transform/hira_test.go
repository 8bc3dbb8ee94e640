package transform_test

import (
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestHiRARounds(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 5))
	a, b := random(t, r, "a", safetensors.F32, 3, 6), random(t, r, "b", safetensors.F32, 5, 3)
	w := random(t, r, "w", safetensors.BF16, 5, 6)
	wv, av, bv := floatsOf(t, w), floatsOf(t, a), floatsOf(t, b)
	for _, rounding := range []transform.Rounding{transform.PEFT, transform.Once, transform.Twice} {
		got := mergedFloats(t, transform.HiRA{A: a, B: b}, w, rounding)
		for i := range got {
			sum := float32(0)
			for k := range 3 {
				sum += bv[i/6*3+k] * av[k*6+i%6]
			}
			d := float64(sum)
			if rounding != transform.Once {
				d = rounded(t, d, safetensors.BF16)
			}
			d = float64(float32(d) * wv[i])
			if rounding != transform.Once {
				d = rounded(t, d, safetensors.BF16)
			}
			if want := float32(rounded(t, float64(wv[i]+float32(d)), safetensors.BF16)); got[i] != want {
				t.Errorf("%v: element %d is %g, want %g", rounding, i, got[i], want)
			}
		}
	}
}
