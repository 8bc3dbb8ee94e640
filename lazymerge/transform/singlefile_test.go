package transform_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

const f32 = safetensors.F32

// floats is what merging all rows at a time gives.
func floats(t *testing.T, x transform.Transform, w *safetensors.Tensor) []float32 {
	t.Helper()
	b, packed := bound(t, x, w)
	dst := make([]byte, len(bytesOf(t, w)))
	if err := b.Rows(context.Background(), dst, bytesOf(t, w), packed, 0, w.Shape[0]); err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(dst)*8/w.DType.Bits())
	if err := safetensors.AsFloat32(out, dst, w.DType); err != nil {
		t.Fatal(err)
	}
	return out
}

func bound(t *testing.T, x transform.Transform, w *safetensors.Tensor) (transform.Bound, []byte) {
	t.Helper()
	b, err := x.Bind(param(w), transform.PEFT)
	if err != nil {
		t.Fatal(err)
	}
	packed := make([]byte, b.PackSize())
	if err := b.Pack(context.Background(), packed); err != nil {
		t.Fatal(err)
	}
	if p, ok := b.(transform.Preparer); ok {
		width := int64(len(bytesOf(t, w))) / w.Shape[0]
		err := p.Prepare(context.Background(), packed, func(_ context.Context, dst []byte, lo, hi int64) error {
			copy(dst, bytesOf(t, w)[lo*width:hi*width])
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b, packed
}

func values(t *testing.T, x *safetensors.Tensor) []float64 {
	t.Helper()
	out := make([]float32, len(bytesOf(t, x))*8/x.DType.Bits())
	if err := safetensors.AsFloat32(out, bytesOf(t, x), x.DType); err != nil {
		t.Fatal(err)
	}
	wide := make([]float64, len(out))
	for i, v := range out {
		wide[i] = float64(v)
	}
	return wide
}

func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	largest := 0.0
	for _, x := range want {
		largest = max(largest, math.Abs(x))
	}
	for i, x := range want {
		if d := math.Abs(float64(got[i]) - x); !(d <= 2e-5*largest) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], x)
		}
	}
}

func stored(x *safetensors.Tensor) transform.Matrix { return transform.Stored{Tensor: x} }

// cases are the transforms of adapters in one file, on a weight of 96×(20·9).
func singleFileCases(t *testing.T, r *rand.Rand) map[string]transform.Transform {
	add := func(m transform.Matrix) transform.Addition {
		return transform.Addition{Type: "x", Delta: m, Scale: 0.5}
	}
	low := transform.Product{Left: stored(random(t, r, "b", f32, 96, 3)), Right: stored(random(t, r, "a", f32, 3, 20, 9))}
	return map[string]transform.Transform{
		"kron":        add(transform.Kron{X: stored(random(t, r, "x", f32, 4, 5)), Y: stored(random(t, r, "y", f32, 24, 4, 9))}),
		"tall kron":   add(transform.Kron{X: stored(random(t, r, "x", f32, 48, 20)), Y: stored(random(t, r, "y", f32, 2, 9))}),
		"magnitude":   transform.Decomposed{Addition: add(low), Magnitude: random(t, r, "m", f32, 96, 1, 1)},
		"of inputs":   transform.Decomposed{Addition: add(low), Magnitude: random(t, r, "m", f32, 1, 20, 1)},
		"weightwise":  transform.Weightwise{Addition: add(low), A1: random(t, r, "a1", f32, 20, 2), A2: random(t, r, "a2", f32, 2, 20)},
		"blocks":      transform.OutputRotation{Blocks: random(t, r, "o", f32, 12, 8, 8), Rescale: random(t, r, "s", f32, 96, 1)},
		"butterfly":   transform.OutputRotation{Blocks: random(t, r, "o", f32, 3, 24, 4, 4)},
		"constrained": transform.OutputRotation{Blocks: random(t, r, "o", f32, 2, 16, 6, 6), Constraint: 0.001},
	}
}

// TestAnyRows: the rows do not depend on how many are asked for at a time.
func TestAnyRows(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	w := random(t, r, "w", safetensors.BF16, 96, 20, 9)
	width := int64(20 * 9 * 2)
	for name, x := range singleFileCases(t, r) {
		b, packed := bound(t, x, w)
		group := int64(1)
		if g, ok := b.(transform.Grouped); ok {
			group = g.Group()
		}
		whole, parts := make([]byte, 96*width), make([]byte, 96*width)
		copy(parts, bytesOf(t, w))
		if err := b.Rows(context.Background(), whole, bytesOf(t, w), packed, 0, 96); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for lo := int64(0); lo < 96; {
			hi := min(lo+group*(1+r.Int64N(3)), 96)
			rows := parts[lo*width : hi*width] // in place
			if err := b.Rows(context.Background(), rows, rows, packed, lo, hi); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			lo = hi
		}
		if !bytes.Equal(whole, parts) || bytes.Equal(whole, bytesOf(t, w)) {
			t.Errorf("%s: rows differ, or nothing changed", name)
		}
	}
}

func TestKronAdded(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	w, x, y := random(t, r, "w", f32, 12, 10), random(t, r, "x", f32, 3, 2), random(t, r, "y", f32, 4, 5)
	want, vx, vy := values(t, w), values(t, x), values(t, y)
	for i := range 12 {
		for j := range 10 {
			want[i*10+j] += 2 * vx[i/4*2+j/5] * vy[i%4*5+j%5]
		}
	}
	near(t, "kron", floats(t, transform.Addition{Delta: transform.Kron{X: stored(x), Y: stored(y)}, Scale: 2}, w), want)
}

// TestInputMagnitude: each input's weights, over outputs and kernel, get the length
// that the magnitude says.
func TestInputMagnitude(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	w, m := random(t, r, "w", f32, 8, 5, 3), random(t, r, "m", f32, 1, 5, 1)
	d := transform.Decomposed{Addition: transform.Addition{Delta: stored(random(t, r, "d", f32, 8, 15)), Scale: 1}, Magnitude: m}
	got := floats(t, d, w)
	var lengths [5]float64
	for i, x := range got {
		lengths[i%15/3] += float64(x) * float64(x)
	}
	for i, want := range values(t, m) {
		if math.Abs(math.Sqrt(lengths[i])-math.Abs(want)) > 1e-5 {
			t.Errorf("input %d has length %g, want %g", i, math.Sqrt(lengths[i]), want)
		}
	}
}

// TestRotations: a rotation keeps the lengths of columns; a constraint of nothing,
// where it always holds, changes nothing.
func TestRotations(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	w := random(t, r, "w", f32, 48, 3)
	length := func(v []float64) (sum [3]float64) {
		for i, x := range v {
			sum[i%3] += x * x
		}
		return sum
	}
	for name, blocks := range map[string]*safetensors.Tensor{
		"one block": random(t, r, "o", f32, 1, 48, 48), "blocks": random(t, r, "o", f32, 6, 8, 8), "butterfly": random(t, r, "o", f32, 4, 8, 6, 6),
	} {
		got := floats(t, transform.OutputRotation{Blocks: blocks}, w)
		wide := make([]float64, len(got))
		for i, x := range got {
			wide[i] = float64(x)
		}
		a, b := length(values(t, w)), length(wide)
		for i := range a {
			if math.Abs(a[i]-b[i]) > 1e-5*a[i] {
				t.Errorf("%s: column %d had %g, has %g", name, i, a[i], b[i])
			}
		}
		near(t, name, floats(t, transform.OutputRotation{Blocks: blocks, Always: true}, w), values(t, w))
	}
}

func TestSingleFileShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	w := random(t, r, "w", f32, 8, 6)
	low := transform.Addition{Delta: stored(random(t, r, "d", f32, 8, 6)), Scale: 1}
	for name, x := range map[string]transform.Transform{
		"kron":           transform.Addition{Delta: transform.Kron{X: stored(random(t, r, "x", f32, 2, 2)), Y: stored(random(t, r, "y", f32, 4, 2))}},
		"flat kron":      transform.Addition{Delta: transform.Kron{X: stored(random(t, r, "x", f32, 2)), Y: stored(random(t, r, "y", f32, 4, 3))}},
		"magnitude":      transform.Decomposed{Addition: low, Magnitude: random(t, r, "m", f32, 7, 1)},
		"of inputs":      transform.Decomposed{Addition: low, Magnitude: random(t, r, "m", f32, 1, 7)},
		"delta":          transform.Decomposed{Addition: transform.Addition{Delta: stored(random(t, r, "d", f32, 8, 5))}, Magnitude: random(t, r, "m", f32, 8, 1)},
		"a1":             transform.Weightwise{Addition: low, A1: random(t, r, "a1", f32, 5, 2), A2: random(t, r, "a2", f32, 2, 6)},
		"a2":             transform.Weightwise{Addition: low, A1: random(t, r, "a1", f32, 6, 2), A2: random(t, r, "a2", f32, 3, 6)},
		"scalar":         transform.Weightwise{Addition: low, A1: random(t, r, "a1", f32), A2: random(t, r, "a2", f32)},
		"blocks":         transform.OutputRotation{Blocks: random(t, r, "o", f32, 3, 3, 3)},
		"oblong":         transform.OutputRotation{Blocks: random(t, r, "o", f32, 2, 4, 2)},
		"deep butterfly": transform.OutputRotation{Blocks: random(t, r, "o", f32, 70, 4, 2, 2)},
		"odd butterfly":  transform.OutputRotation{Blocks: random(t, r, "o", f32, 1, 8, 1, 1)},
		"rescale":        transform.OutputRotation{Blocks: random(t, r, "o", f32, 2, 4, 4), Rescale: random(t, r, "s", f32, 6)},
	} {
		var shape *transform.ShapeError
		if _, err := x.Bind(param(w), transform.PEFT); !errors.As(err, &shape) {
			t.Errorf("%s: %v", name, err)
		}
	}
	straight := param(w)
	straight.Straight = true
	turned := transform.Addition{Delta: stored(random(t, r, "d", f32, 6, 8))}
	if _, err := turned.Bind(straight, transform.PEFT); err == nil {
		t.Error("a transposed delta fits a weight that is stored straight")
	}
	if _, err := (transform.Scaling{By: random(t, r, "l", f32, 6), Plus: 1}).Bind(straight, transform.PEFT); err == nil {
		t.Error("a scale of the outputs is taken for one of the inputs")
	}
}
