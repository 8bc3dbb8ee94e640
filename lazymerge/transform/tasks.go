package transform

import (
	"math"

	"lorafs/lazymerge/transform/torchrand"
)

// Blend is how several tensors of one shape become one: PEFT's operations on task
// tensors (peft utils/merge_utils.py @0.21.2), in fp32 step by step.
type Blend struct {
	// Prune drops elements before the sum, unless Density is 1 or more.
	Prune Pruning
	// Elect adds only what has the majority's sign, and divides by how many that are
	// (TIES).
	Elect bool
	// Frequency counts signs for the majority, where the default sums values.
	Frequency bool
	Density   float64 // share of elements that stay
}

// Pruning is which elements stay.
type Pruning uint8

// The ways to prune.
const (
	KeepAll     Pruning = iota
	KeepLargest         // by magnitude
	KeepRandom          // the rest is divided by the density (DARE)
)

// mix overwrites tensors and returns their sum with the weights.
func (b Blend) mix(tensors [][]float32, weights []float32, draws *torchrand.Generator) []float32 {
	for _, t := range tensors {
		b.prune(t, draws)
	}
	out := tensors[0]
	for i := range out {
		sign, all := float32(1), true
		if b.Elect {
			sign, all = b.majority(tensors, i), false
		}
		var sum float32
		count := 0
		for k, t := range tensors {
			if all || t[i]*sign > 0 {
				sum += float32(t[i] * weights[k])
				count++
			}
		}
		if b.Elect {
			sum /= float32(max(count, 1))
		}
		out[i] = sum
	}
	return out
}

func (b Blend) majority(tensors [][]float32, i int) float32 {
	var sum float32
	for _, t := range tensors {
		switch x := t[i]; {
		case !b.Frequency:
			sum += x
		case x > 0:
			sum++
		case x < 0:
			sum--
		}
	}
	if sum >= 0 {
		return 1
	}
	return -1
}

func (b Blend) prune(t []float32, draws *torchrand.Generator) {
	if b.Prune == KeepAll || b.Density >= 1 {
		return
	}
	if b.Prune == KeepRandom {
		p := float32(b.Density)
		for i, x := range t {
			if !draws.Bernoulli(p) {
				x *= 0
			}
			t[i] = x / p
		}
		return
	}
	size := make([]float32, len(t))
	for i, x := range t {
		size[i] = float32(math.Abs(float64(x)))
	}
	for i, keep := range largest(size, int(b.Density*float64(len(t)))) {
		if !keep {
			t[i] = 0
		}
	}
}
