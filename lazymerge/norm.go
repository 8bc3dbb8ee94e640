package lazymerge

import (
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"lorafs/safetensors"
)

// measure computes the Frobenius norm of every adapter tensor of the plans, on all
// CPUs: it reads every byte of the adapter. Errors: *InputChangedError.
func measure(plans []*planner) (map[*safetensors.Tensor]float64, error) {
	var all []*safetensors.Tensor
	seen := make(map[*safetensors.Tensor]bool) // the factors of a stack are in many edits
	for _, p := range plans {
		for _, o := range p.outputs {
			for _, e := range o.edits {
				for _, t := range e.Transform.Tensors() {
					if !seen[t] {
						seen[t] = true
						all = append(all, t)
					}
				}
			}
		}
	}
	found := make([]float64, len(all))
	errs := make([]error, runtime.NumCPU())
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			values := make([]float32, 4096)
			errs[w] = guard(func() error {
				for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
					found[i] = norm(all[i], values)
				}
				return nil
			})
		})
	}
	wg.Wait()
	norms := make(map[*safetensors.Tensor]float64, len(all))
	for i, t := range all {
		norms[t] = found[i]
	}
	return norms, errors.Join(errs...)
}

// norm uses values as scratch. It is infinite where t cannot be read or is not
// finite.
func norm(t *safetensors.Tensor, values []float32) float64 {
	n, err := t.Elements()
	if err != nil {
		return math.Inf(1)
	}
	width, step := int64(t.DType.Bits()/8), int64(len(values))
	var sum float64
	for lo := int64(0); lo < n; lo += step {
		hi := min(lo+step, n)
		raw, err := t.Slice(lo*width, hi*width)
		if err != nil {
			return math.Inf(1)
		}
		part := values[:hi-lo]
		if err := safetensors.AsFloat32(part, raw, t.DType); err != nil {
			return math.Inf(1)
		}
		for _, v := range part {
			sum += float64(v) * float64(v)
		}
	}
	if math.IsNaN(sum) {
		return math.Inf(1)
	}
	return math.Sqrt(sum)
}
