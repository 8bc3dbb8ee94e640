package transform_test

import (
	"math"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestDeLoRANorms(t *testing.T) {
	a := tensor(t, "a", safetensors.F32, []float32{3, 4, 0, 1e-6}, 2, 2)
	b := tensor(t, "b", safetensors.F32, []float32{6, 0, 8, 1}, 2, 2)
	x := transform.DeLoRA{A: a, B: b, Lambda: tensor(t, "lambda", safetensors.F32, []float32{10}, 1),
		WNorm: tensor(t, "norm", safetensors.F32, []float32{2, 3}, 2)}
	w := tensor(t, "w", safetensors.F32, make([]float32, 4), 2, 2)
	got := mergedFloats(t, x, w, transform.PEFT)
	// d = 10/2/(5·10) and 10/2/(1e-4·1)
	want := []float64{6 * 0.1 * 3 * 2, 6 * 0.1 * 4 * 3, 8 * 0.1 * 3 * 2, 8*0.1*4*3 + 50000*1e-6*3}
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > 1e-5 {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}
