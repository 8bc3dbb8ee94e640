package transform_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestRoAd: a quarter turn puts each half of a group in the other's place.
func TestRoAd(t *testing.T) {
	base := tensor(t, "w", safetensors.F32, []float32{1, 2, 3, 4, 5, 6, 7, 8}, 8)
	for _, x := range []struct {
		variant transform.RoAdVariant
		theta   []float32
		want    []float32
	}{
		{transform.RoAd1, []float32{math.Pi / 2, math.Pi / 2, 0, math.Pi}, []float32{-3, -4, 1, 2, 5, -6, 7, -8}},
		{transform.RoAd2, []float32{math.Pi / 2, 0, 0, math.Pi / 2, 0, 0, 0, 0}, []float32{-3, 2, 3, 2, 5, 6, 7, 8}},
		// Angles of c₁ before those of c₂.
		{transform.RoAd4, []float32{0, 0, 0, 0, math.Pi / 2, 0, 0, math.Pi / 2, math.Pi, 0, 0, 0, 0, 0, 0, 0}, []float32{-2, 2, 3, 6, -5, 6, 7, 8}},
	} {
		ones := make([]float32, len(x.theta))
		for i := range ones {
			ones[i] = 1
		}
		n := int64(len(ones))
		road := transform.RoAd{Theta: tensor(t, "theta", safetensors.F32, x.theta, n), Alpha: tensor(t, "alpha", safetensors.F32, ones, n), Variant: x.variant, Group: 4}
		b, packed := bindPacked(t, road, param(base), transform.PEFT, content(t, base))
		got := append([]byte(nil), content(t, base)...)
		if err := b.Rows(t.Context(), got, got, packed, 0, 8); err != nil {
			t.Fatal(err)
		}
		for i, y := range widen(t, got, safetensors.F32) {
			if math.Abs(float64(y-x.want[i])) > 1e-6 {
				t.Errorf("variant %d: %v, want %v", x.variant, widen(t, got, safetensors.F32), x.want)
				break
			}
		}
	}
}

func TestRoAdOfWrongSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	f := func(n int64) *safetensors.Tensor { return random(t, r, "v", safetensors.F32, n) }
	base := random(t, r, "w", safetensors.F32, 12, 2)
	for i, x := range []transform.RoAd{
		{Theta: f(12), Alpha: f(12), Variant: transform.RoAd1, Group: 4}, {Theta: f(6), Alpha: f(12), Variant: transform.RoAd1, Group: 4},
		{Theta: f(12), Alpha: f(12), Variant: transform.RoAd2, Group: 8}, {Theta: f(12), Alpha: f(12), Variant: transform.RoAd2, Group: 3},
		{Theta: f(12), Alpha: f(12), Variant: transform.RoAd2, Group: 0}, {Theta: f(12), Alpha: f(12), Variant: transform.RoAd4, Group: 4},
	} {
		_, err := x.Bind(param(base), transform.PEFT)
		if e := (*transform.ShapeError)(nil); !errors.As(err, &e) {
			t.Errorf("%d: %v", i, err)
		}
	}
}
