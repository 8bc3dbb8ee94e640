package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lorafs/lazymerge/kernel"
)

// BenchmarkTiers reports the speed of each tier as a share of copy()'s: both go over
// the same blocks of rows in turn, so that other load hits them alike.
func BenchmarkTiers(b *testing.B) {
	for _, tier := range kernel.Tiers {
		if !tier.Available() {
			continue
		}
		for _, adapter := range []struct {
			name string
			mask uint32
		}{{"bf16", brain}, {"f32", full}} {
			for _, rank := range []int{8, 16, 32, 64} {
				b.Run(fmt.Sprintf("%s/%s/r=%d", tier.Name, adapter.name, rank), func(b *testing.B) {
					ratio(b, tier, rank, adapter.mask)
				})
			}
		}
	}
}

func ratio(b *testing.B, tier *kernel.Tier, rank int, mask uint32) {
	const rows, cols, block = 96 * 160, 4096, 96
	c := newCase(rand.New(rand.NewPCG(1, 2)), block, cols, rank, kernel.BF16, mask)
	args := c.args()
	weights := make([]byte, rows*cols*2) // more than the caches hold
	for i := 0; i < len(weights); i += len(c.src) {
		copy(weights[i:], c.src)
	}
	var merging, copying []time.Duration
	at := 0
	b.SetBytes(int64(len(c.src)))
	for b.Loop() {
		args.Src = weights[at : at+len(c.src)]
		start := time.Now()
		tier.AddLowRank(&args)
		middle := time.Now()
		at = (at + len(c.src)) % len(weights)
		copy(args.Dst, weights[at:])
		merging = append(merging, middle.Sub(start))
		copying = append(copying, time.Since(middle))
		at = (at + len(c.src)) % len(weights)
	}
	merge, plain := median(merging), median(copying)
	n := float64(len(c.src))
	b.ReportMetric(n/merge.Seconds()/1e9, "GB/s")
	b.ReportMetric(plain.Seconds()/merge.Seconds(), "of-copy")
	b.ReportMetric(n/2*float64(rank)/merge.Seconds()/1e9, "GFMA/s")
}

// median is not moved by the times when something else had the processor.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
