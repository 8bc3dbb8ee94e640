package transform_test

import (
	"slices"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestMiCARoundsTwice: 256 + 1.01 is 258 in bfloat16 when added exactly, and 256 when
// the delta is rounded to 1 first.
func TestMiCARoundsTwice(t *testing.T) {
	w := tensor(t, "w", safetensors.BF16, []float32{256}, 1, 1)
	x := transform.LowRank{
		A: tensor(t, "a", safetensors.F32, []float32{1.001}, 1, 1), B: tensor(t, "b", safetensors.F32, []float32{1}, 1, 1), Scale: 1,
	}
	for _, c := range []struct {
		mica bool
		r    transform.Rounding
		want float32
	}{
		{false, transform.PEFT, 258}, {true, transform.PEFT, 256}, {true, transform.Once, 258}, {true, transform.Twice, 256},
	} {
		x.MiCA = c.mica
		got := widen(t, merge(t, x, param(w), c.r, bytesOf(t, w)), safetensors.BF16)
		if !slices.Equal(got, []float32{c.want}) {
			t.Errorf("MiCA %v, rounding %v: %v, want %v", c.mica, c.r, got, c.want)
		}
	}
}
