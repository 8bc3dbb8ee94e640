package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lorafs/lazymerge/kernel"
)

// BenchmarkAddLowRank reports its speed also as a share of copy() in the same run.
func BenchmarkAddLowRank(b *testing.B) {
	for _, precision := range []struct {
		name string
		mask uint32
	}{{"16bit", 0xffff0000}, {"32bit", 0xffffffff}} {
		for _, rank := range []int{8, 16, 64} {
			b.Run(fmt.Sprintf("%s/r=%d", precision.name, rank), func(b *testing.B) {
				benchmark(b, rank, precision.mask)
			})
		}
	}
}

func benchmark(b *testing.B, rank int, mask uint32) {
	const rows, cols = 64, 4096
	r := rand.New(rand.NewPCG(1, 2))
	c := newCase(r, rows, cols, rank, kernel.BF16, mask)
	args := c.args()
	args.Dst = make([]byte, len(c.src))
	b.SetBytes(int64(len(c.src)))
	var copying time.Duration
	for b.Loop() {
		for i := 0; i < rows; {
			n := min(kernel.BlockRows(rank, cols), rows-i)
			c.fill(&args, i, n)
			kernel.AddLowRank(&args)
			i += n
		}
		b.StopTimer()
		start := time.Now()
		copy(args.Dst, c.src)
		copying += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(copying.Seconds()/b.Elapsed().Seconds(), "of-copy")
}
