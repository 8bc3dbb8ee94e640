//go:build unix

package kernel_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"lorafs/lazymerge/kernel"
)

// stressRounds is how often each worker computes.
var stressRounds = 300

// TestStress computes under garbage collection, a CPU profile and preemption signals.
func TestStress(t *testing.T) {
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	var done atomic.Bool
	var noise, workers sync.WaitGroup
	noise.Go(func() {
		for !done.Load() {
			runtime.GC()
		}
	})
	noise.Go(func() {
		for !done.Load() {
			if err := syscall.Kill(syscall.Getpid(), syscall.SIGURG); err != nil {
				t.Error(err)
			}
			runtime.Gosched()
		}
	})
	for seed := range 6 {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(seed), 5))
			c := newCase(r, 13, 1000, []int{24, 70, 140}[seed/2], dtypes[seed%3], []uint32{brain, full}[seed%2])
			args := c.args()
			pure().AddLowRank(&args)
			want := bytes.Clone(args.Dst)
			for range stressRounds {
				for _, tier := range kernel.Tiers {
					if tier == pure() || !tier.Available() {
						continue
					}
					clear(args.Dst)
					tier.AddLowRank(&args)
					if !bytes.Equal(args.Dst, want) {
						t.Errorf("%s: another result", tier.Name)
						return
					}
				}
			}
		})
	}
	workers.Wait()
	done.Store(true)
	noise.Wait()
}
