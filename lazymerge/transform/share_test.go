package transform_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestShare holds shares of a stack's delta against a plain computation: every order of
// the factors, both ways round, along rows and columns, with gaps, in pieces.
func TestShare(t *testing.T) {
	const experts, rank, x, y = 3, 2, 70, 9 // x spans several panels of the kernel
	r := rand.New(rand.NewPCG(8, 8))
	a := random(t, r, "a", safetensors.BF16, experts*rank, x)
	b := random(t, r, "b", safetensors.F16, y, experts*rank)
	av, bv := widen(t, bytesOf(t, a), a.DType), widen(t, bytesOf(t, b), b.DType)
	for _, c := range []struct {
		name    string
		shape   []int64 // of the matrix
		turned  bool
		across  bool
		grouped bool
		run     transform.Run
	}{
		{"whole", []int64{y, x}, false, false, false, transform.Run{Stride: 1, Count: y}},
		{"whole, grouped", []int64{y, x}, false, false, true, transform.Run{Stride: 1, Count: y}},
		{"whole, turned", []int64{x, y}, true, false, false, transform.Run{Stride: 1, Count: x}},
		{"whole, turned, grouped", []int64{x, y}, true, false, true, transform.Run{Stride: 1, Count: x}},
		{"some of the delta's rows", []int64{4, x}, false, false, false, transform.Run{Stride: 1, First: 5, Count: 4}},
		{"some of the matrix' rows", []int64{y + 6, x}, false, false, false, transform.Run{At: 4, Stride: 1, Count: y}},
		{"every third row", []int64{3*y + 1, x}, false, false, false, transform.Run{At: 2, Stride: 3, Count: y}},
		{"every other row, turned", []int64{2 * x, y}, true, false, false, transform.Run{At: 1, Stride: 2, Count: x}},
		{"columns", []int64{y, x + 30}, false, true, false, transform.Run{At: 20, Stride: 1, Count: x}},
		{"every other column", []int64{y, 2 * x}, false, true, false, transform.Run{At: 1, Stride: 2, Count: x}},
		{"columns, turned", []int64{x, 40}, true, true, true, transform.Run{At: 31, Stride: 1, Count: y}},
		{"every third column, turned", []int64{x, 3 * y}, true, true, false, transform.Run{At: 0, Stride: 3, First: 1, Count: y - 1}},
	} {
		for expert := range int64(experts) {
			t.Run(fmt.Sprintf("%s/%d", c.name, expert), func(t *testing.T) {
				w := random(t, r, "w", safetensors.F32, c.shape...)
				s := transform.Share{A: a, B: b, Scale: 0.5, Layer: transform.Parameter, Expert: expert, Experts: experts, Grouped: c.grouped, Turned: c.turned, Run: c.run, Across: c.across}
				base := widen(t, bytesOf(t, w), w.DType)
				want := make([]float64, len(base))
				for at := range want {
					want[at] = float64(base[at])
					i, j := int64(at)/c.shape[1], int64(at)%c.shape[1]
					along := &i
					if c.across {
						along = &j
					}
					n := *along - c.run.At
					if n < 0 || n%c.run.Stride != 0 || n/c.run.Stride >= c.run.Count {
						continue
					}
					*along = c.run.First + n/c.run.Stride
					o, in := i, j
					if c.turned {
						o, in = j, i
					}
					for k := range int64(rank) {
						column := k*experts + expert
						if c.grouped {
							column = expert*rank + k
						}
						want[at] += 0.5 * float64(bv[o*experts*rank+column]) * float64(av[(expert*rank+k)*x+in])
					}
				}
				bound, packed := bindPacked(t, s, param(w), transform.Once, bytesOf(t, w))
				for _, step := range []int64{c.shape[0], 1, 3} {
					got := slices.Clone(bytesOf(t, w))
					row := c.shape[1] * 4
					for lo := int64(0); lo < c.shape[0]; lo += step {
						hi := min(lo+step, c.shape[0])
						if err := bound.Rows(context.Background(), got[lo*row:hi*row], bytesOf(t, w)[lo*row:hi*row], packed, lo, hi); err != nil {
							t.Fatal(err)
						}
					}
					for i, v := range widen(t, got, w.DType) {
						if math.Abs(float64(v)-want[i]) > 1e-6 {
							t.Fatalf("by %d rows: element %d: got %g, want %g", step, i, v, want[i])
						}
					}
				}
			})
		}
	}
}

func TestShareErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	w := random(t, r, "w", safetensors.BF16, 5, 7)
	good := transform.Share{
		A: random(t, r, "a", safetensors.F32, 6, 7), B: random(t, r, "b", safetensors.F32, 5, 6),
		Experts: 3, Run: transform.Run{Stride: 1, Count: 5},
	}
	if _, err := good.Bind(param(w), transform.PEFT); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(s *transform.Share){
		"rank not shared": func(s *transform.Share) { s.Experts = 4 },
		"no such expert":  func(s *transform.Share) { s.Expert = 3 },
		"negative expert": func(s *transform.Share) { s.Expert = -1 },
		"no experts":      func(s *transform.Share) { s.Experts = 0 },
	} {
		s := good
		change(&s)
		var e *transform.ExpertsError
		if _, err := s.Bind(param(w), transform.PEFT); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(s *transform.Share){
		"turned":         func(s *transform.Share) { s.Turned = true },
		"ranks differ":   func(s *transform.Share) { s.B = random(t, r, "b", safetensors.F32, 5, 9) },
		"inputs":         func(s *transform.Share) { s.A = random(t, r, "a", safetensors.F32, 6, 8) },
		"beyond delta":   func(s *transform.Share) { s.Run.First = 1 },
		"beyond matrix":  func(s *transform.Share) { s.Run.At = 1 },
		"no stride":      func(s *transform.Share) { s.Run.Stride = 0 },
		"negative count": func(s *transform.Share) { s.Run.Count = -1 },
		"vector":         func(s *transform.Share) { s.A = random(t, r, "a", safetensors.F32, 6) },
	} {
		s := good
		change(&s)
		var e *transform.ShapeError
		if _, err := s.Bind(param(w), transform.PEFT); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLargest: the bound is that of the expert's factors, whatever the others hold.
func TestLargest(t *testing.T) {
	a := tensor(t, "a", safetensors.F32, []float32{3, 4, 100, 100}, 2, 2)
	b := tensor(t, "b", safetensors.F32, []float32{2, 100, 0, 100}, 2, 2)
	s := transform.Share{A: a, B: b, Scale: -0.5, Experts: 2}
	if got := s.Largest(); got != 5 {
		t.Errorf("got %g, want 5", got)
	}
}
