package transform_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestDoRAFormulas holds every layer kind against a plain float64 computation.
func TestDoRAFormulas(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range layouts(3) {
		if l.kind == transform.InProj || l.kind == transform.OutProj {
			continue
		}
		rows, cols := l.size()
		n := rows
		if l.turned {
			n = cols
		}
		w := random(t, r, "w", safetensors.F32, l.w...)
		a, b := random(t, r, "a", safetensors.F32, l.a...), random(t, r, "b", safetensors.F32, l.b...)
		m := random(t, r, "m", safetensors.F32, n)
		x := transform.DoRA{LowRank: transform.LowRank{A: a, B: b, Scale: 0.5, Layer: l.kind}, Magnitude: m}
		p := transform.Param{Info: w.Info, Conv1D: l.conv1D}
		got := widen(t, merge(t, x, p, transform.PEFT, bytesOf(t, w)), safetensors.F32)

		base, delta := widen(t, bytesOf(t, w), w.DType), l.delta(t, a, b)
		output := func(i int) int64 {
			if l.turned {
				return int64(i) % cols
			}
			return int64(i) / cols
		}
		squares := make([]float64, n)
		for i := range base {
			delta[i] = float64(base[i]) + 0.5*delta[i]
			squares[output(i)] += delta[i] * delta[i]
		}
		mag := widen(t, bytesOf(t, m), m.DType)
		for i := range got {
			want := float64(mag[output(i)]) / math.Sqrt(squares[output(i)]) * delta[i]
			if math.Abs(float64(got[i])-want) > 1e-5*math.Max(math.Abs(want), 1e-2) {
				t.Fatalf("%s, element %d: got %g, want %g", l.name, i, got[i], want)
			}
		}
	}
}

func TestDoRAPrepares(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range layouts(2) {
		rows, cols := l.size()
		n := rows
		if l.turned {
			n = cols
		}
		x := transform.DoRA{LowRank: transform.LowRank{
			A: random(t, r, "a", safetensors.F32, l.a...), B: random(t, r, "b", safetensors.F32, l.b...), Layer: l.kind,
		}, Magnitude: random(t, r, "m", safetensors.F32, n)}
		w := random(t, r, "w", safetensors.F32, l.w...)
		b, err := x.Bind(transform.Param{Info: w.Info, Conv1D: l.conv1D}, transform.PEFT)
		if l.kind == transform.InProj || l.kind == transform.OutProj {
			var layer *transform.LayerError
			if !errors.As(err, &layer) || layer.Layer != l.kind {
				t.Errorf("%s: got %v", l.name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		prep, ok := b.(transform.Preparer)
		if ok != l.turned {
			t.Errorf("%s: needs to be prepared: %v", l.name, ok)
		}
		if !ok {
			continue
		}
		packed := aligned(b.PackSize())
		if err := b.Pack(context.Background(), packed); err != nil {
			t.Fatal(err)
		}
		broken := errors.New("broken")
		err = prep.Prepare(context.Background(), packed, func(context.Context, []byte, int64, int64) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("%s: an error of the reader gave %v", l.name, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		err = prep.Prepare(ctx, packed, func(context.Context, []byte, int64, int64) error { return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled gave %v", l.name, err)
		}
	}
}

// TestDoRAZeroRow is a row without length, which PEFT makes NaN.
func TestDoRAZeroRow(t *testing.T) {
	w := tensor(t, "w", safetensors.BF16, []float32{1, 2, 0, 0}, 2, 2)
	x := transform.DoRA{LowRank: transform.LowRank{
		A: tensor(t, "a", safetensors.F32, []float32{1, 1}, 1, 2), B: tensor(t, "b", safetensors.F32, []float32{1, 0}, 2, 1), Scale: 1,
	}, Magnitude: tensor(t, "m", safetensors.F32, []float32{1, 1}, 2)}
	b, packed := bindPacked(t, x, param(w), transform.PEFT, bytesOf(t, w))
	err := b.Rows(context.Background(), make([]byte, 8), bytesOf(t, w), packed, 0, 2)
	var overflow *transform.OverflowError
	if !errors.As(err, &overflow) || overflow.Row != 1 {
		t.Errorf("got %v", err)
	}
	p := param(w)
	p.AllowNonFinite = true
	got := widen(t, merge(t, x, p, transform.PEFT, bytesOf(t, w)), safetensors.BF16)
	if got[0] != got[0] || got[2] == got[2] {
		t.Errorf("got %v, want NaN in the second row alone", got)
	}
}
