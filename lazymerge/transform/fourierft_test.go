package transform

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
)

func TestInverseFourier(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, size := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 2}, {3, 5}, {4, 6}, {7, 4}, {6, 9}, {0, 3}} {
		rows, cols := size[0], size[1]
		x := make([]float32, rows*cols)
		for i := range x {
			if r.IntN(2) == 0 {
				x[i] = float32(r.NormFloat64())
			}
		}
		want := make([]float64, len(x))
		for m := range rows {
			for n := range cols {
				for i, v := range x {
					k, l := i/cols, i%cols
					angle := 2 * math.Pi * (float64(k*m)/float64(rows) + float64(l*n)/float64(cols))
					want[m*cols+n] += float64(v) * math.Cos(angle) / float64(rows*cols)
				}
			}
		}
		if err := inverseFourier(t.Context(), x, rows, cols); err != nil {
			t.Fatal(err)
		}
		for i, y := range x {
			if math.Abs(float64(y)-want[i]) > 1e-6 {
				t.Fatalf("%d×%d: element %d is %g, want %g", rows, cols, i, y, want[i])
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := inverseFourier(ctx, make([]float32, 4), 2, 2); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}
