package kernel

import "testing"

// TestAddScaledFindsTheFirst looks for overflows on both sides of a step, in place.
func TestAddScaledFindsTheFirst(t *testing.T) {
	for _, bad := range []int{-1, 0, 255, 256, 600} {
		w, delta := make([]byte, 2*700), make([]float32, 700)
		for i := range delta {
			delta[i] = float32(i)
		}
		if bad >= 0 {
			delta[bad] = 1e6
			delta[len(delta)-1] = 1e6
		}
		if got := AddScaled(w, w, delta, 0.5, F16); got != bad {
			t.Errorf("the first is %d, want %d", got, bad)
		}
		values := make([]float32, len(delta))
		Load(values, w, F16)
		if values[300] != 150 && bad != 300 || values[10] != 5 {
			t.Errorf("sums %v, %v", values[10], values[300])
		}
	}
}
