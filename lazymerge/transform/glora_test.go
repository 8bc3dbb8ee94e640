package transform_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestSpread(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	one, column := random(t, r, "x", safetensors.F32, 1), random(t, r, "x", safetensors.BF16, 4, 1)
	v, c := floatsOf(t, one), floatsOf(t, column)
	checkMatrix(t, transform.Spread{Of: one, Rows: 4, Cols: 3}, func(_, _ int64) float64 { return float64(v[0]) })
	checkMatrix(t, transform.Spread{Of: column, Rows: 4, Cols: 3}, func(i, _ int64) float64 { return float64(c[i]) })
	err := transform.Spread{Of: column, Rows: 5, Cols: 4}.Check()
	if e := (*transform.ShapeError)(nil); !errors.As(err, &e) {
		t.Error(err)
	}
}

// TestGLoRABias: a bias reads the rows of the weight that are its module's, and no
// others.
func TestGLoRABias(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	weight, bias := random(t, r, "w", safetensors.F32, 9, 5), random(t, r, "b", safetensors.F32, 6)
	c, d, e := random(t, r, "c", safetensors.F32, 5, 1), random(t, r, "d", safetensors.F32, 1), random(t, r, "e", safetensors.F32, 6)
	x := transform.GLoRABias{C: transform.Path{X: c}, D: transform.Path{X: d}, E: transform.Path{X: e}}
	p := param(bias)
	p.Beside = transform.Rows{Tensor: weight, First: 2, Count: 6}
	got := widen(t, merge(t, x, p, transform.PEFT, content(t, bias)), safetensors.F32)
	w, b, cs, es := floatsOf(t, weight), floatsOf(t, bias), floatsOf(t, c), floatsOf(t, e)
	for i := range got {
		want := float64(b[i])*(1+float64(floatsOf(t, d)[0])) + float64(es[i])
		for j := range 5 {
			want += float64(w[(i+2)*5+j]) * float64(cs[j])
		}
		if math.Abs(float64(got[i])-want) > 1e-6 {
			t.Errorf("element %d is %g, want %g", i, got[i], want)
		}
	}
	for i, rows := range []transform.Rows{{}, {Tensor: weight, Count: 9}, {Tensor: random(t, r, "w", safetensors.F32, 6, 4), Count: 6}, {Tensor: random(t, r, "w", safetensors.BF16, 6, 5), Count: 6}} {
		p.Beside = rows
		_, err := x.Bind(p, transform.PEFT)
		if e := (*transform.ShapeError)(nil); !errors.As(err, &e) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if x := (transform.GLoRABias{D: transform.Path{X: d}}); x.Beside() != "" {
		t.Error("reads the weight for nothing")
	}
}

// TestGLoRASteps: every step is rounded, unless all are to be rounded once.
func TestGLoRASteps(t *testing.T) {
	base := tensor(t, "w", safetensors.BF16, []float32{1}, 1, 1)
	small := tensor(t, "a", safetensors.F32, []float32{0x1p-8}, 1)
	smaller := tensor(t, "b", safetensors.F32, []float32{0x1p-17}, 1)
	x := transform.GLoRA{A: transform.Path{X: small}, B: transform.Path{X: smaller}}
	for rounding, want := range map[transform.Rounding]float32{transform.PEFT: 1, transform.Twice: 1, transform.Once: 1 + 0x1p-7} {
		if got := widen(t, merge(t, x, param(base), rounding, content(t, base)), safetensors.BF16); got[0] != want {
			t.Errorf("%v: %g, want %g", rounding, got[0], want)
		}
	}
}

func TestGLoRAOfWrongSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	f := func(shape ...int64) *safetensors.Tensor { return random(t, r, "bad", safetensors.F32, shape...) }
	base := random(t, r, "w", safetensors.F32, 4, 3)
	for i, x := range []transform.Path{{X: f(3)}, {X: f(2, 3)}, {Down: f(4, 2), Up: f(3, 3)}, {Down: f(3, 2), Up: f(2, 4)}, {Down: f(4), Up: f(1, 3)}} {
		for _, g := range []transform.GLoRA{{A: x}, {B: x}} {
			_, err := g.Bind(param(base), transform.PEFT)
			if e := (*transform.ShapeError)(nil); !errors.As(err, &e) || e.Tensor != "w" {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
}
