//go:build !race

// The race detector makes sync.Pool drop what it holds, at random.

package transform_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestNoAllocations(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	ctx := context.Background()
	w := random(t, r, "w", safetensors.BF16, 64, 96)
	l := transform.LowRank{A: random(t, r, "a", safetensors.BF16, 8, 96), B: random(t, r, "b", safetensors.F32, 64, 8), Scale: 1}
	e := transform.LowRank{A: random(t, r, "a", safetensors.BF16, 8, 64), B: random(t, r, "b", safetensors.F32, 96, 8), Layer: transform.Embedding}
	for name, x := range map[string]transform.Transform{
		"sum of low ranks": transform.Total{Terms: []transform.Transform{l, transform.Multiple{Transform: l, By: 0.3}}},
		"sum":              transform.Total{Terms: []transform.Transform{l, transform.DoRA{LowRank: l, Magnitude: random(t, r, "m", safetensors.F32, 64)}}},
		"combination":      transform.Combination{Of: []transform.LowRank{l, l}, Weights: []float64{1, 2}, Scale: 1},
		"lora":             l, "embedding": e,
		"dora":           transform.DoRA{LowRank: l, Magnitude: random(t, r, "m", safetensors.F32, 64)},
		"embedding dora": transform.DoRA{LowRank: e, Magnitude: random(t, r, "m", safetensors.F32, 96)},
		"share":          transform.Share{A: l.A, B: l.B, Scale: 1, Experts: 2, Expert: 1, Run: transform.Run{Stride: 1, Count: 64}},
		"replace":        transform.Replace{Value: random(t, r, "v", safetensors.F32, 64, 96)},
		"rows":           transform.ReplaceRows{Indices: []int64{3, 9}, Rows: random(t, r, "v", safetensors.F32, 2, 96)},
	} {
		b, packed := bindPacked(t, x, param(w), transform.Once, bytesOf(t, w))
		src, dst := bytesOf(t, w), make([]byte, 64*96*2)
		if n := testing.AllocsPerRun(50, func() {
			if err := b.Rows(ctx, dst, src, packed, 0, 64); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %g allocations a call", name, n)
		}
	}
}
