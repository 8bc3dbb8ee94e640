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

const (
	sumRows = 21
	sumCols = 13
)

// terms are edits of a weight [out, in] and what each adds to it in float64.
func sumTerms(t *testing.T, r *rand.Rand, d safetensors.DType, in, out int64) (terms []transform.Transform, deltas [][]float64) {
	low := func(rank int64, scale float64) transform.LowRank {
		l := transform.LowRank{A: random(t, r, "a", d, rank, in), B: random(t, r, "b", d, out, rank), Scale: scale}
		deltas = append(deltas, product64(t, l.B, l.A, scale))
		return l
	}
	weighted := low(3, 0.5)
	for i := range deltas[0] {
		deltas[0][i] *= -0.3
	}
	terms = append(terms, transform.Multiple{Transform: weighted, By: -0.3}, low(5, 2), low(200, 0.1))
	a, b := random(t, r, "x", d, 2, in), random(t, r, "y", d, out, 2)
	terms = append(terms, transform.Multiple{Transform: transform.Addition{Delta: transform.Product{Left: transform.Stored{Tensor: b}, Right: transform.Stored{Tensor: a}}, Scale: 0.7}, By: 1.5})
	deltas = append(deltas, product64(t, b, a, 0.7*1.5))
	return append(terms, low(4, -1)), deltas
}

func product64(t *testing.T, b, a *safetensors.Tensor, scale float64) []float64 {
	t.Helper()
	x, y := make([]float32, product(b.Shape)), make([]float32, product(a.Shape))
	if err := errors.Join(transform.ReadFloats(x, b, 0), transform.ReadFloats(y, a, 0)); err != nil {
		t.Fatal(err)
	}
	out, rank, in := int(b.Shape[0]), int(a.Shape[0]), int(a.Shape[1])
	z := make([]float64, out*in)
	for i := range out {
		for k := range rank {
			for j := range in {
				z[i*in+j] += scale * float64(x[i*rank+k]) * float64(y[k*in+j])
			}
		}
	}
	return z
}

func product(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// TestTotal holds sums of every mixture of terms against float64, on weights stored either
// way.
func TestTotal(t *testing.T) {
	for _, d := range []safetensors.DType{safetensors.F32, safetensors.BF16, safetensors.F16} {
		for _, conv1D := range []bool{false, true} {
			r := rand.New(rand.NewPCG(1, uint64(d)))
			all, deltas := sumTerms(t, r, d, sumCols, sumRows)
			shape := []int64{sumRows, sumCols}
			if conv1D {
				shape = []int64{sumCols, sumRows}
			}
			base := random(t, r, "w", d, shape...)
			p := param(base)
			p.Conv1D = conv1D
			for _, which := range [][]int{{0, 1}, {1, 2, 4}, {0, 3}, {3, 3}, {0, 1, 2, 3, 4}} {
				t.Run(fmt.Sprint(d, conv1D, which), func(t *testing.T) {
					var sum transform.Total
					want := make([]float64, sumRows*sumCols)
					for _, i := range which {
						sum.Terms = append(sum.Terms, all[i])
						for j, x := range deltas[i] {
							want[j] += x
						}
					}
					checkSum(t, base, merge(t, sum, p, transform.Once, bytesOf(t, base)), want, conv1D)
				})
			}
		}
	}
}

func checkSum(t *testing.T, base *safetensors.Tensor, merged []byte, delta []float64, turned bool) {
	t.Helper()
	w, got := make([]float32, len(delta)), make([]float32, len(delta))
	err := errors.Join(transform.ReadFloats(w, base, 0), safetensors.AsFloat32(got, merged, base.DType))
	if err != nil {
		t.Fatal(err)
	}
	off := 0
	for i := range got {
		j := i
		if turned {
			j = i%sumRows*sumCols + i/sumRows
		}
		exact := float64(w[i]) + delta[j]
		if base.DType == safetensors.F32 {
			if math.Abs(float64(got[i])-exact) > 2e-6 {
				t.Fatalf("element %d is %v, want %v", i, got[i], exact)
			}
		} else if float64(got[i]) != rounded(t, exact, base.DType) {
			off++
		}
	}
	if off > 1 {
		t.Errorf("%d elements are rounded otherwise", off)
	}
}

// Scales that differ by powers of two are folded without a rounding, so that bf16
// factors keep the kernel's arithmetic for bf16: a sum is then one adapter of all ranks.
func TestTotalFoldsExactly(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	a, b := random(t, r, "a", safetensors.BF16, 8, sumCols), random(t, r, "b", safetensors.BF16, sumRows, 8)
	base := random(t, r, "w", safetensors.F32, sumRows, sumCols)
	whole := transform.LowRank{A: a, B: b, Scale: 0.3}
	var parts []transform.Transform
	for i := range int64(2) {
		part := transform.LowRank{Scale: []float64{0.3, -1.2}[i]}
		rows, columns := make([]float32, 4*sumCols), make([]float32, 0, 4*sumRows)
		err := transform.ReadFloats(rows, a, i*4*sumCols)
		for o := range int64(sumRows) {
			row := make([]float32, 4)
			err = errors.Join(err, transform.ReadFloats(row, b, o*8+i*4))
			columns = append(columns, row...)
		}
		if err != nil {
			t.Fatal(err)
		}
		for j := range rows {
			rows[j] /= []float32{1, -4}[i]
		}
		part.A, part.B = tensor(t, "a", safetensors.BF16, rows, 4, sumCols), tensor(t, "b", safetensors.BF16, columns, sumRows, 4)
		parts = append(parts, part)
	}
	want := merge(t, whole, param(base), transform.Once, bytesOf(t, base))
	if got := merge(t, transform.Total{Terms: parts}, param(base), transform.Once, bytesOf(t, base)); !slices.Equal(got, want) {
		t.Error("the parts of an adapter give other bytes than the whole")
	}
}

// Where each edit is rounded the sum is what the edits give one after another.
func TestTotalInSteps(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	all, _ := sumTerms(t, r, safetensors.F16, sumCols, sumRows)
	base := random(t, r, "w", safetensors.BF16, sumRows, sumCols)
	for _, rounding := range []transform.Rounding{transform.PEFT, transform.Twice} {
		want := bytesOf(t, base)
		for _, e := range all {
			want = merge(t, e, param(base), rounding, want)
		}
		if got := merge(t, transform.Total{Terms: all}, param(base), rounding, bytesOf(t, base)); !slices.Equal(got, want) {
			t.Errorf("%v: other bytes", rounding)
		}
	}
}

func TestTotalOverflow(t *testing.T) {
	huge := tensor(t, "a", safetensors.F32, []float32{60000}, 1, 1)
	one := tensor(t, "b", safetensors.F32, []float32{1}, 1, 1)
	low := transform.LowRank{A: huge, B: one, Scale: 1}
	add := transform.Addition{Delta: transform.Stored{Tensor: huge}, Scale: 1}
	base := tensor(t, "w", safetensors.F16, []float32{0}, 1, 1)
	for _, terms := range [][]transform.Transform{{low, low}, {low, add}} {
		b, err := transform.Total{Terms: terms}.Bind(param(base), transform.Once)
		if err != nil {
			t.Fatal(err)
		}
		packed := aligned(b.PackSize())
		if err := b.Pack(context.Background(), packed); err != nil {
			t.Fatal(err)
		}
		var overflow *transform.OverflowError
		if err := b.Rows(context.Background(), make([]byte, 2), bytesOf(t, base), packed, 0, 1); !errors.As(err, &overflow) {
			t.Errorf("%v", err)
		}
	}
}

func TestMultiple(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	vector := random(t, r, "l", safetensors.F32, sumRows, 1)
	base := random(t, r, "w", safetensors.BF16, sumRows, sumCols)
	var weight *transform.WeightError
	if _, err := (transform.Multiple{Transform: transform.Scaling{By: vector}, By: 2}).Bind(param(base), transform.Once); !errors.As(err, &weight) {
		t.Errorf("%v", err)
	}
	if _, err := transform.Weigh(transform.Replace{Value: base}, 0.5, "w"); !errors.As(err, &weight) {
		t.Errorf("%v", err)
	}
	if x, err := transform.Weigh(transform.Replace{Value: base}, 1, "w"); err != nil || x != (transform.Replace{Value: base}) {
		t.Errorf("%v, %v", x, err)
	}
}

// A delta of many elements is decomposed only where its factors make that cheap.
func TestDecompositionIsBounded(t *testing.T) {
	const side = 4096
	zeros := make([]byte, 4*side)
	low := transform.LowRank{A: raw(t, "a", safetensors.F32, zeros, 1, side), B: raw(t, "b", safetensors.F32, zeros, side, 1), Scale: 1}
	p := transform.Param{Info: safetensors.Info{Name: "w", DType: safetensors.BF16, Shape: []int64{side, side}}}
	c := transform.Combination{Of: []transform.LowRank{low, low}, Weights: []float64{1, 1}, Form: transform.Truncated, Rank: 1, Scale: 1}
	b, err := c.Bind(p, transform.Once)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Pack(context.Background(), aligned(b.PackSize())); err != nil {
		t.Error(err)
	}
	c.Blend = transform.Blend{Prune: transform.KeepLargest, Density: 0.5}
	var tooLarge *transform.DecompositionError
	if _, err := c.Bind(p, transform.Once); !errors.As(err, &tooLarge) {
		t.Errorf("%v", err)
	}
}
