package transform

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"lorafs/lazymerge/transform/torchrand"
)

// TestBlends holds every operation to the bit against what PEFT gave, with ties at the
// threshold, sizes on both sides of topk's change of algorithm, and densities of 0 and 1
// (testdata/make_blends.py).
func TestBlends(t *testing.T) {
	raw, err := os.ReadFile("testdata/blends.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Tensors [][]int32
		Weights []int32
		Density float64
		Seed    int64
		Want    map[string][]int32
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	blends := map[string]Blend{
		"linear":          {},
		"magnitude_prune": {Prune: KeepLargest},
		"ties":            {Prune: KeepLargest, Elect: true},
		"ties_frequency":  {Prune: KeepLargest, Elect: true, Frequency: true},
		"dare_linear":     {Prune: KeepRandom},
		"dare_ties":       {Prune: KeepRandom, Elect: true, Frequency: true},
	}
	for _, c := range cases {
		for name, want := range c.Want {
			b := blends[name]
			b.Density = c.Density
			tensors := make([][]float32, len(c.Tensors))
			for i := range tensors {
				tensors[i] = floatsOf(c.Tensors[i])
			}
			got := b.mix(tensors, floatsOf(c.Weights), torchrand.New(c.Seed))
			if !slices.Equal(got, floatsOf(want)) {
				t.Errorf("%s of %d elements, density %v: differs", name, len(want), c.Density)
			}
		}
	}
}

func floatsOf(bits []int32) []float32 {
	out := make([]float32, len(bits))
	for i, b := range bits {
		out[i] = math.Float32frombits(uint32(b))
	}
	return out
}
