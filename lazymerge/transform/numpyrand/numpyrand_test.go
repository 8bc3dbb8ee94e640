package numpyrand_test

import (
	"context"
	"slices"
	"testing"

	"lorafs/lazymerge/transform/numpyrand"
)

// What numpy 2.4 gave.

func TestUint64(t *testing.T) {
	for seed, want := range map[uint64][3]uint64{
		42:        {0xc621fbcd16d92688, 0x705a5661a791ffc1, 0xdbcd12c26eda1624},
		0:         {0xa30febcfd9c2825f, 0x4510bdf882d9d721, 0xa7d3da94ecde8b8},
		7:         {0xa00641a9f1e54a8b, 0xe5afcdbcaf266a95, 0xc693565f940af962},
		1<<40 + 3: {0xc60e533fbbb0872c, 0xfef0825f71d66341, 0x792240db6171ac88},
	} {
		g := numpyrand.New(seed)
		if got := [3]uint64{g.Uint64(), g.Uint64(), g.Uint64()}; got != want {
			t.Errorf("seed %d: %x, want %x", seed, got, want)
		}
	}
}

func TestChoice(t *testing.T) {
	for _, x := range []struct {
		n, k        int64
		seed        uint64
		first, last []int64
		sum         int64
	}{
		{256, 10, 42, []int64{21, 191, 22, 162, 109, 108, 177, 24}, []int64{24, 51, 216}, 1081},
		{50, 49, 1, []int64{19, 27, 6, 44, 39, 24, 26, 47}, []int64{35, 5, 48}, 1195},
		{20000, 30, 2, []int64{1836, 8265, 11240, 2183, 16264, 18903, 17591, 5224}, []int64{13572, 4024, 9015}, 294564},
		{20000, 900, 2, []int64{15245, 7179, 3326, 4853, 16259, 8449, 8636, 19407}, []int64{2185, 5231, 16751}, 9011542},
		{10, 10, 5, []int64{1, 5, 6, 4, 9, 8, 7, 3}, []int64{3, 2, 0}, 45},
		{100000, 3, 1, []int64{51181, 47317, 75516}, nil, 174014},
	} {
		got, err := numpyrand.New(x.seed).Choice(t.Context(), x.n, x.k)
		if err != nil || int64(len(got)) != x.k {
			t.Fatalf("%d of %d: %d, %v", x.k, x.n, len(got), err)
		}
		sum := int64(0)
		for _, v := range got {
			sum += v
		}
		if !slices.Equal(got[:len(x.first)], x.first) || !slices.Equal(got[len(got)-len(x.last):], x.last) || sum != x.sum {
			t.Errorf("%d of %d: %v, want %v…%v", x.k, x.n, got, x.first, x.last)
		}
	}
}

func TestShuffle(t *testing.T) {
	for _, x := range []struct {
		n    int64
		seed uint64
		want []int64
	}{
		{10, 42, []int64{5, 6, 0, 7, 3, 2, 4, 9, 1, 8}},
		{1000, 7, []int64{816, 923, 151, 900, 213, 100, 851, 503, 643, 172}},
		{1, 3, []int64{0}},
		{0, 3, nil},
	} {
		all := make([]int64, x.n)
		for i := range all {
			all[i] = int64(i)
		}
		err := numpyrand.New(x.seed).Shuffle(t.Context(), x.n, func(i, j int64) { all[i], all[j] = all[j], all[i] })
		if err != nil || !slices.Equal(all[:len(x.want)], x.want) {
			t.Errorf("%d by seed %d: %v, want %v, %v", x.n, x.seed, all[:len(x.want)], x.want, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := numpyrand.New(1).Shuffle(ctx, 1<<21, func(int64, int64) {}); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}
