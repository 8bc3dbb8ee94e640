package torchrand_test

import (
	"context"
	"slices"
	"testing"

	"lorafs/lazymerge/transform/torchrand"
)

// TestUint32 has the generator's published check: draw 10,000 of the seed 5489.
func TestUint32(t *testing.T) {
	g := torchrand.New(5489)
	for range 9999 {
		g.Uint32()
	}
	if x := g.Uint32(); x != 4123659995 {
		t.Errorf("draw 10000 is %d", x)
	}
}

// TestPermutation holds permutations against what torch 2.15 gave.
func TestPermutation(t *testing.T) {
	for _, x := range []struct {
		seed, n int64
		want    []int64
	}{
		{777, 0, []int64{}},
		{777, 1, []int64{0}},
		{777, 2, []int64{1, 0}},
		{777, 7, []int64{5, 6, 3, 0, 1, 4, 2}},
		{0, 1000, []int64{44, 37, 675, 775, 947, 209}},
		{777, 1000, []int64{735, 819, 201, 799, 435, 497}},
		{1<<32 + 777, 1000, []int64{735, 819, 201, 799, 435, 497}},
		{-5, 1000, []int64{30, 691, 129, 709, 575, 906}},
		{1<<40 + 3, 1000, []int64{986, 114, 871, 894, 140, 885}},
		{777, 1872, []int64{887, 755, 1493, 920, 331, 822, 639, 804}},
		{777, 214748363, []int64{11440646, 199500216, 10121607, 3119241, 51696020, 155711086, 42349920, 206414740}},
		{777, 214748364, []int64{150358698, 199533091, 83306822, 145970095, 40813261, 111338416, 71047571, 163718730}},
	} {
		got, err := torchrand.New(x.seed).Permutation(t.Context(), x.n, int64(len(x.want)))
		if err != nil || !slices.Equal(got, x.want) {
			t.Errorf("seed %d, n = %d: %v, want %v, %v", x.seed, x.n, got, x.want, err)
		}
	}
}

func TestPermutationIsWhole(t *testing.T) {
	const n = 3000
	all, err := torchrand.New(1).Permutation(t.Context(), n, n)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	for i, x := range all {
		if x != int64(i) {
			t.Fatalf("place %d of the sorted permutation holds %d", i, x)
		}
	}
}

func TestPermutationIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, n := range []int64{1000, 1 << 28} {
		if _, err := torchrand.New(1).Permutation(ctx, n, 10); err != context.Canceled {
			t.Errorf("n = %d: %v", n, err)
		}
	}
}
