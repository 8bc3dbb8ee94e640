package transform

import (
	"math"

	"lorafs/safetensors"
)

// Range implements Ranged.
func (x Total) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	times = 1
	for _, t := range x.Terms {
		a, n := reach(t, norm)
		added += a
		times += max(n-1, 0)
	}
	return added, times
}

// reach is Range for every transform.
func reach(t Transform, norm func(*safetensors.Tensor) float64) (added, times float64) {
	switch v := t.(type) {
	case LowRank:
		added = abs(v.Scale) * norm(v.A) * norm(v.B)
		if v.Layer == OutProj {
			added *= 2
		}
		return added, 1
	case DoRA:
		// The weights are taken off again.
		return norm(v.Magnitude), 2
	case AddBias:
		return abs(v.Scale) * norm(v.Bias), 1
	case Multiple:
		added, times = reach(v.Transform, norm)
		return abs(v.By) * added, times
	case Ranged:
		return v.Range(norm)
	}
	return math.Inf(1), 1
}
