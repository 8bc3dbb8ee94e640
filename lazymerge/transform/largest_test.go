package transform

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// TestGreatest compares with what torch picks among equal values.
func TestGreatest(t *testing.T) {
	raw, err := os.ReadFile("testdata/topk.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Values []float32
		Picks  []int64
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	var queue []ranked
	for n, c := range cases {
		picks, found := make([]int64, len(c.Picks)), make([]float32, len(c.Picks))
		queue = greatest(picks, found, c.Values, queue)
		if !slices.Equal(picks, c.Picks) {
			t.Errorf("case %d, %d of %d: got %v, want %v", n, len(c.Picks), len(c.Values), picks, c.Picks)
		}
		for i, p := range picks {
			if found[i] != c.Values[p] {
				t.Errorf("case %d: found %g, want %g", n, found[i], c.Values[p])
			}
		}
	}
}

// TestGreatestNaN holds what is found against all values in order, NaN before them.
func TestGreatestNaN(t *testing.T) {
	r := rand.New(rand.NewPCG(71, 72))
	for range 2000 {
		values := make([]float32, 1+r.IntN(300))
		for i := range values {
			values[i] = float32(r.IntN(1 + r.IntN(400)))
			if r.IntN(100) == 0 {
				values[i] = float32(math.NaN())
			}
		}
		k := 1 + r.IntN(min(len(values), 40))
		picks, found := make([]int64, k), make([]float32, k)
		greatest(picks, found, values, nil)
		want := slices.Clone(values)
		slices.SortFunc(want, func(a, b float32) int {
			switch {
			case before(ranked{value: a}, ranked{value: b}):
				return -1
			case before(ranked{value: b}, ranked{value: a}):
				return 1
			}
			return 0
		})
		for i := range found {
			if math.Float32bits(found[i]) != math.Float32bits(want[i]) {
				t.Fatalf("place %d of %d in %v: got %g, want %g", i, k, values, found[i], want[i])
			}
		}
		slices.Sort(picks)
		if len(slices.Compact(picks)) != k {
			t.Fatalf("a value was picked twice: %v", picks)
		}
	}
}
