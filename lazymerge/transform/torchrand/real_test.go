package torchrand_test

import (
	"context"
	"math"
	"testing"

	"lorafs/lazymerge/transform/torchrand"
)

// TestUniform holds draws against what torch 2.15 gave, bit by bit.
func TestUniform(t *testing.T) {
	for _, x := range []struct {
		seed     int64
		skip     int64
		from, to float32
		want     []float32
	}{
		{0, 0, -1, 1, []float32{-0.00748682022, 0.536443591, -0.823045135, -0.735939026, -0.385154366}},
		{7, 0, 0, 1, []float32{0.53492254, 0.198803186, 0.659211695, 0.656890273, 0.232761562}},
		{7, 5, 0, 1, []float32{0.425061405, 0.207086027, 0.629736364, 0.365316153}},
		{-5, 0, -0.1, 0.3, []float32{0.272326052, 0.164289698, 0.292307556, 0.272963881}},
		{3, 690, -0.25, 0.25, []float32{0.0894028842, 0.152218491, -0.0677025318, -0.185756475, 0.0947088599, 0.193230659, -0.212263316}},
	} {
		g := torchrand.New(x.seed)
		g.Skip(x.skip)
		got := make([]float32, len(x.want))
		g.Uniform(got[:2], x.from, x.to)
		g.Uniform(got[2:], x.from, x.to)
		for i := range got {
			if got[i] != x.want[i] {
				t.Errorf("seed %d from %d: %v, want %v", x.seed, x.skip, got, x.want)
				break
			}
		}
	}
}

// TestNormal holds draws against what torch 2.15 gave: its vectors of sine and
// logarithm may differ in the last bit.
func TestNormal(t *testing.T) {
	for _, x := range []struct {
		seed, n     int64
		std         float32
		first, last [4]float32
	}{
		{7, 5, 0.5, [4]float32{-0.073397547, 0.393070638, 0.473410815, -0.557172}, [4]float32{0.393070638, 0.473410815, -0.557172, 0.845395088}},
		{7, 15, 1, [4]float32{-0.146795094, 0.786141276, 0.94682163, -1.114344}, [4]float32{0.132806972, 0.137324095, 0.240546122, 1.39545083}},
		{7, 16, 0.5, [4]float32{-0.41006726, 0.197815582, 0.449454248, -0.694201946}, [4]float32{0.354269534, 0.506377697, 0.115198433, 0.545082569}},
		{7, 20, 0.5, [4]float32{-0.41006726, 0.197815582, 0.449454248, -0.694201946}, [4]float32{-0.433350801, -0.282003343, -1.02823126, -0.178361267}},
		{42, 256, 0.25, [4]float32{0.481728822, 0.371821016, 0.2251793, -0.526380241}, [4]float32{0.134932756, 0.141376257, 0.126447931, 0.0556134135}},
		{42, 37, 1, [4]float32{1.92691529, 1.48728406, 0.900717199, -2.10552096}, [4]float32{0.896268308, 0.0499053858, 2.26671791, 1.17895091}},
	} {
		got := make([]float32, 0, x.n)
		err := torchrand.New(x.seed).Normal(t.Context(), x.n, x.std, func(i int64, v float32) {
			if i != int64(len(got)) {
				t.Fatalf("element %d comes after %d", i, len(got))
			}
			got = append(got, v)
		})
		if err != nil || int64(len(got)) != x.n {
			t.Fatalf("%d elements: %v", len(got), err)
		}
		for i := range 4 {
			if !close32(got[i], x.first[i]) || !close32(got[len(got)-4+i], x.last[i]) {
				t.Errorf("seed %d, n = %d: %v…%v, want %v…%v", x.seed, x.n, got[:4], got[len(got)-4:], x.first, x.last)
				break
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := torchrand.New(1).Normal(ctx, 1<<40, 1, func(int64, float32) {}); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func close32(got, want float32) bool {
	return math.Abs(float64(got-want)) <= 1e-6*math.Max(0.1, math.Abs(float64(want)))
}

// TestUniformBrains holds draws of a bfloat16 tensor against what torch 2.15 gave.
func TestUniformBrains(t *testing.T) {
	got := make([]float32, 1000)
	torchrand.New(0).UniformBrains(got, -0.1, 0.1)
	for i, want := range map[int]float32{0: -0.0007476806640625, 1: 0.0537109375, 2: -0.08251953125, 3: -0.07373046875, 336: 0.07568359375, 337: -0.10009765625, 338: 0.08740234375, 385: -0.10009765625} {
		if got[i] != want {
			t.Errorf("element %d is %v, want %v", i, got[i], want)
		}
	}
}
