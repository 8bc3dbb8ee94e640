package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestNote holds the notes of rows against those of their values one by one.
func TestNote(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 62))
	for n := range 3000 {
		row := make([]float32, n%100)
		mask := r.Uint32() | r.Uint32()
		for i := range row {
			row[i] = math.Float32frombits(r.Uint32() & mask)
			if r.IntN(8) == 0 {
				row[i] = 0
			}
		}
		got, want := nothing, nothing
		if n%3 == 0 { // after others
			x := math.Float32bits(r.Float32())
			got.add(x)
			want.add(x)
		}
		got.addAll(row)
		for _, x := range row {
			want.add(math.Float32bits(x))
		}
		if got != want {
			t.Fatalf("%d values: got %+v, want %+v", len(row), got, want)
		}
	}
}
