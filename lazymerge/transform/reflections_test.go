package transform_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestReflections: a reflection turns its own direction around, and is its own inverse.
func TestReflections(t *testing.T) {
	base := tensor(t, "w", safetensors.F32, []float32{3, 4, 0, -4, 3, 1}, 2, 3)
	u := tensor(t, "u", safetensors.F32, []float32{0.3, 0.4, 0}, 3, 1)
	twice := tensor(t, "u", safetensors.F32, []float32{0.3, -3, 0.4, -4, 0, 0}, 3, 2)
	for _, x := range []struct {
		t    transform.Transform
		want []float32
	}{
		{transform.Reflections{U: u}, []float32{-3, -4, 0, -4, 3, 1}},
		{transform.Reflections{U: u, Orthogonal: true}, []float32{-3, -4, 0, -4, 3, 1}},
		{transform.Reflections{U: twice}, []float32{3, 4, 0, -4, 3, 1}},
	} {
		got := widen(t, merge(t, x.t, param(base), transform.PEFT, content(t, base)), safetensors.F32)
		for i, w := range x.want {
			if math.Abs(float64(got[i]-w)) > 1e-6 {
				t.Errorf("%+v: %v, want %v", x.t, got, x.want)
				break
			}
		}
	}
}

func TestReflectionsThatCannotBe(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	base := random(t, r, "w", safetensors.BF16, 4, 3)
	for _, u := range []*safetensors.Tensor{random(t, r, "u", safetensors.F32, 4, 2), random(t, r, "u", safetensors.F32, 3), random(t, r, "u", safetensors.F32, 3, 1, 1)} {
		_, err := transform.Reflections{U: u}.Bind(param(base), transform.PEFT)
		if e := (*transform.ShapeError)(nil); !errors.As(err, &e) {
			t.Error(err)
		}
	}
	zero := tensor(t, "u", safetensors.F32, []float32{1, 0, 1, 0, 1, 0}, 3, 2)
	for _, gs := range []bool{false, true} {
		b, packed := bindPacked(t, transform.Reflections{U: zero, Orthogonal: gs}, param(base), transform.PEFT, content(t, base))
		err := b.Rows(context.Background(), make([]byte, 24), content(t, base), packed, 0, 4)
		if e := (*transform.OverflowError)(nil); !errors.As(err, &e) {
			t.Errorf("a column of zeros: %v", err)
		}
	}
}
