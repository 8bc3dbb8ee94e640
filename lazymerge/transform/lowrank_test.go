package transform_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// layout is a layer kind with its shapes, and where delta element (i,j) comes from.
type layout struct {
	name    string
	kind    transform.Kind
	conv1D  bool
	w, a, b []int64
	turned  bool // A belongs to the rows
}

func layouts(rank int64) []layout {
	return []layout{
		{"linear", transform.Linear, false, []int64{7, 11}, []int64{rank, 11}, []int64{7, rank}, false},
		{"linear square", transform.Linear, false, []int64{9, 9}, []int64{rank, 9}, []int64{9, rank}, false},
		{"conv1d by shape", transform.Linear, false, []int64{11, 7}, []int64{rank, 11}, []int64{7, rank}, true},
		{"conv1d", transform.Linear, true, []int64{11, 7}, []int64{rank, 11}, []int64{7, rank}, true},
		{"conv1d square", transform.Linear, true, []int64{9, 9}, []int64{rank, 9}, []int64{9, rank}, true},
		{"linear in spite of conv1d", transform.Linear, true, []int64{7, 11}, []int64{rank, 11}, []int64{7, rank}, false},
		{"conv 1d", transform.Conv, false, []int64{5, 3, 4}, []int64{rank, 3, 4}, []int64{5, rank, 1}, false},
		{"conv 2d", transform.Conv, false, []int64{5, 3, 2, 4}, []int64{rank, 3, 2, 4}, []int64{5, rank, 1, 1}, false},
		{"conv 3d", transform.Conv, false, []int64{5, 2, 2, 3, 2}, []int64{rank, 2, 2, 3, 2}, []int64{5, rank, 1, 1, 1}, false},
		{"conv 1×1 as linear", transform.Linear, false, []int64{5, 6, 1, 1}, []int64{rank, 6}, []int64{5, rank}, false},
		{"embedding", transform.Embedding, false, []int64{13, 6}, []int64{rank, 13}, []int64{6, rank}, true},
		{"embedding square", transform.Embedding, false, []int64{6, 6}, []int64{rank, 6}, []int64{6, rank}, true},
		{"in_proj", transform.InProj, false, []int64{12, 4}, []int64{rank, 4}, []int64{12, rank}, false},
		{"parameter", transform.Parameter, false, []int64{12, 4}, []int64{rank, 4}, []int64{12, rank}, false},
		{"out_proj", transform.OutProj, false, []int64{6, 6}, []int64{rank, 6}, []int64{6, rank}, false},
	}
}

func (l layout) size() (rows, cols int64) {
	cols = 1
	for _, d := range l.w[1:] {
		cols *= d
	}
	return l.w[0], cols
}

// delta is the unscaled product in float64.
func (l layout) delta(t *testing.T, a, b *safetensors.Tensor) []float64 {
	rows, cols := l.size()
	x, y := widen(t, bytesOf(t, a), a.DType), widen(t, bytesOf(t, b), b.DType)
	rank := a.Shape[0]
	out := make([]float64, rows*cols)
	for i := range rows {
		for j := range cols {
			for k := range rank {
				if l.turned {
					out[i*cols+j] += float64(x[k*rows+i]) * float64(y[j*rank+k])
				} else {
					out[i*cols+j] += float64(x[k*cols+j]) * float64(y[i*rank+k])
				}
			}
		}
	}
	return out
}

// TestFormulas holds every layer kind against a plain float64 computation.
func TestFormulas(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, rank := range []int64{1, 2, 5, 33} {
		for _, l := range layouts(rank) {
			for _, d := range []safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16} {
				t.Run(fmt.Sprintf("%s/%d/%v", l.name, rank, d), func(t *testing.T) {
					w := random(t, r, "w", d, l.w...)
					a := random(t, r, "a", safetensors.F32, l.a...)
					b := random(t, r, "b", d, l.b...)
					p := transform.Param{Info: w.Info, Conv1D: l.conv1D}
					x := transform.LowRank{A: a, B: b, Scale: 0.75, Layer: l.kind}
					got := widen(t, merge(t, x, p, transform.Once, bytesOf(t, w)), d)
					times := 0.75
					if l.kind == transform.OutProj {
						times *= 2
					}
					base, delta := widen(t, bytesOf(t, w), d), l.delta(t, a, b)
					for i := range got {
						exact := float64(base[i]) + times*delta[i]
						relative := map[safetensors.DType]float64{
							safetensors.F32: 0, safetensors.F16: 0x1p-11, safetensors.BF16: 0x1p-8}[d]
						if math.Abs(float64(got[i])-exact) > math.Abs(exact)*relative+2e-6 {
							t.Fatalf("element %d: got %g, want %g", i, got[i], exact)
						}
					}
				})
			}
		}
	}
}

// TestRounding merges a delta that tells the classes apart: it is a little less than
// 1.5 units in the last place of the weights and becomes 1.5 units in bf16, a tie.
func TestRounding(t *testing.T) {
	const delta = 0.0117186
	w := tensor(t, "w", safetensors.BF16, []float32{1, 129.0 / 128}, 2, 1)
	a := tensor(t, "a", safetensors.F32, []float32{delta}, 1, 1)
	b := tensor(t, "b", safetensors.F32, []float32{1, 1}, 2, 1)
	twoRows := tensor(t, "a", safetensors.F32, []float32{delta, delta}, 1, 2)
	one := tensor(t, "b", safetensors.F32, []float32{1}, 1, 1)
	s, d := []float32{1 + 1.0/128, 1 + 2.0/128}, []float32{1 + 2.0/128, 1 + 2.0/128}
	both, double := []float32{1 + 3.0/128, 1 + 3.0/128}, []float32{1 + 3.0/128, 1 + 4.0/128}
	for _, c := range []struct {
		kind transform.Kind
		want map[transform.Rounding][]float32
	}{
		{transform.Linear, map[transform.Rounding][]float32{transform.PEFT: s, transform.Once: s, transform.Twice: d}},
		{transform.Conv, map[transform.Rounding][]float32{transform.PEFT: s, transform.Once: s, transform.Twice: d}},
		{transform.Embedding, map[transform.Rounding][]float32{transform.PEFT: d, transform.Once: s, transform.Twice: d}},
		{transform.InProj, map[transform.Rounding][]float32{transform.PEFT: d, transform.Once: s, transform.Twice: d}},
		{transform.Parameter, map[transform.Rounding][]float32{transform.PEFT: d, transform.Once: s, transform.Twice: d}},
		{transform.OutProj, map[transform.Rounding][]float32{transform.PEFT: both, transform.Once: double, transform.Twice: both}},
	} {
		for rounding, want := range c.want {
			x := transform.LowRank{A: a, B: b, Scale: 1, Layer: c.kind}
			if c.kind == transform.Embedding {
				x.A, x.B = twoRows, one
			}
			got := widen(t, merge(t, x, param(w), rounding, bytesOf(t, w)), safetensors.BF16)
			if !slices.Equal(got, want) {
				t.Errorf("%v, rounding %d: got %v, want %v", c.kind, rounding, got, want)
			}
		}
	}
}

func TestRankZero(t *testing.T) {
	w := tensor(t, "w", safetensors.BF16, []float32{1, float32(math.Copysign(0, -1)), 3, 4, 5, 6}, 2, 3)
	x := transform.LowRank{
		A: tensor(t, "a", safetensors.F32, nil, 0, 3), B: tensor(t, "b", safetensors.F32, nil, 2, 0), Scale: 2,
	}
	if got := merge(t, x, param(w), transform.PEFT, bytesOf(t, w)); !slices.Equal(got, bytesOf(t, w)) {
		t.Errorf("rank 0 changed the weights: %v", got)
	}
}

func TestOverflow(t *testing.T) {
	for _, allow := range []bool{false, true} {
		w := tensor(t, "w", safetensors.F16, []float32{1, 2, 60000, 4}, 4, 1)
		p := param(w)
		p.AllowNonFinite = allow
		l := transform.LowRank{
			A: tensor(t, "a", safetensors.F32, []float32{6000}, 1, 1),
			B: tensor(t, "b", safetensors.F32, []float32{1, 1, 1, 1}, 4, 1), Scale: 1,
		}
		m := tensor(t, "m", safetensors.F32, []float32{1, 1, 1e6, 1}, 4)
		d := tensor(t, "d", safetensors.F32, []float32{1, 1, 1e6, 1}, 4, 1)
		for name, x := range map[string]transform.Transform{
			"lora": l, "dora": transform.DoRA{LowRank: l, Magnitude: m}, "replace": transform.Replace{Value: d},
			"rows": transform.ReplaceRows{Indices: []int64{0, 1, 2, 3}, Rows: d},
		} {
			b, packed := bindPacked(t, x, p, transform.PEFT, bytesOf(t, w))
			dst := make([]byte, 4)
			err := b.Rows(context.Background(), dst, bytesOf(t, w)[2:6], packed, 1, 3)
			var overflow *transform.OverflowError
			switch {
			case allow && err != nil:
				t.Errorf("%s: %v", name, err)
			case allow && (dst[2] != 0 || dst[3] != 0x7c):
				t.Errorf("%s: merged to %#x, want infinity", name, dst[2:])
			case !allow && (!errors.As(err, &overflow) || overflow.Tensor != "w" || overflow.Row != 2 && name != "replace"):
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}

func TestShapeErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, c := range []struct {
		name      string
		kind      transform.Kind
		w, a, b   []int64
		other     string
		want      []int64
		magnitude int64
		groups    int64
	}{
		{"A", transform.Linear, []int64{7, 11}, []int64{2, 12}, []int64{7, 2}, "a", []int64{2, 11}, 0, 0},
		{"B", transform.Linear, []int64{7, 11}, []int64{2, 11}, []int64{8, 2}, "b", []int64{7, 2}, 0, 0},
		{"ranks", transform.Linear, []int64{7, 11}, []int64{2, 11}, []int64{7, 3}, "b", []int64{7, 2}, 0, 0},
		{"grouped conv", transform.Conv, []int64{8, 4, 3}, []int64{2, 8, 3}, []int64{8, 2, 1}, "a", []int64{2, 4, 3}, 0, 0},
		{"groups", transform.Conv, []int64{8, 4, 3}, []int64{2, 8, 3}, []int64{8, 1, 1}, "b", []int64{8, 2}, 0, 2},
		{"depthwise", transform.Conv, []int64{8, 1, 3}, []int64{8, 8, 3}, []int64{8, 1, 1}, "b", []int64{8, 8}, 0, 8},
		{"depthwise, whole", transform.Conv, []int64{8, 1, 3}, []int64{2, 8, 3}, []int64{8, 2, 1}, "a", []int64{2, 1, 3}, 0, 8},
		{"ranks of a conv", transform.Conv, []int64{8, 9, 3}, []int64{4, 9, 3}, []int64{8, 2, 1}, "b", []int64{8, 4}, 0, 0},
		{"kernel turned", transform.Conv, []int64{8, 4, 3, 1}, []int64{2, 4, 1, 3}, []int64{8, 2, 1, 1}, "a", []int64{2, 4, 3, 1}, 0, 0},
		{"vocabulary", transform.Embedding, []int64{10, 4}, []int64{2, 12}, []int64{4, 2}, "a", []int64{2, 10}, 0, 0},
		{"exchanged", transform.Linear, []int64{7, 7}, []int64{7, 2}, []int64{2, 7}, "a", []int64{7, 7}, 0, 0},
		{"vector", transform.Linear, []int64{7}, []int64{2, 1}, []int64{7, 2}, "a", []int64{2, 1}, 0, 0},
		{"magnitude", transform.Linear, []int64{7, 11}, []int64{2, 11}, []int64{7, 2}, "m", []int64{7}, 11, 0},
	} {
		w := random(t, r, "w", safetensors.BF16, c.w...)
		l := transform.LowRank{
			A: random(t, r, "a", safetensors.F32, c.a...), B: random(t, r, "b", safetensors.F32, c.b...),
			Scale: 1, Layer: c.kind,
		}
		var x transform.Transform = l
		if c.magnitude > 0 {
			x = transform.DoRA{LowRank: l, Magnitude: random(t, r, "m", safetensors.F32, c.magnitude)}
		}
		_, err := x.Bind(param(w), transform.PEFT)
		var shape *transform.ShapeError
		if !errors.As(err, &shape) || shape.Tensor != "w" || shape.Other != c.other || !slices.Equal(shape.Want, c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
		if err != nil && shape.Within() != slices.Contains([]string{"ranks", "exchanged", "groups", "depthwise", "ranks of a conv"}, c.name) {
			t.Errorf("%s: within the adapter: %v", c.name, shape.Within())
		}
		if err != nil && (shape.Groups != c.groups || shape.Grouped() != strings.HasPrefix(c.name, "depthwise")) {
			t.Errorf("%s: %d groups", c.name, shape.Groups)
		}
	}
}

func TestDTypeErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	good := random(t, r, "good", safetensors.F32, 4, 4)
	bad := raw(t, "bad", safetensors.I8, make([]byte, 16), 4, 4)
	double := raw(t, "bad", safetensors.F64, make([]byte, 128), 4, 4)
	eight := raw(t, "bad", safetensors.F8E4M3, make([]byte, 16), 4, 4)
	for i, c := range []struct {
		x transform.Transform
		w *safetensors.Tensor
	}{
		{transform.LowRank{A: good, B: good}, bad},
		{transform.LowRank{A: good, B: good}, double},
		{transform.LowRank{A: good, B: good}, eight},
		{transform.LowRank{A: bad, B: good}, good},
		{transform.LowRank{A: good, B: eight}, good},
		{transform.DoRA{LowRank: transform.LowRank{A: good, B: good}, Magnitude: bad}, good},
		{transform.AddBias{Bias: bad}, good},
		{transform.Replace{Value: bad}, good},
		{transform.Replace{Value: good}, eight},
		{transform.ReplaceRows{Rows: bad, Indices: []int64{0, 1, 2, 3}}, good},
	} {
		_, err := c.x.Bind(param(c.w), transform.PEFT)
		var dtype *transform.DTypeError
		if !errors.As(err, &dtype) || dtype.Tensor != "bad" || dtype.DType == safetensors.F32 {
			t.Errorf("case %d: got %v", i, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := rand.New(rand.NewPCG(4, 4))
	for _, l := range layouts(3) {
		w := random(t, r, "w", safetensors.BF16, l.w...)
		x := transform.LowRank{
			A: random(t, r, "a", safetensors.F32, l.a...), B: random(t, r, "b", safetensors.F32, l.b...), Layer: l.kind,
		}
		b, packed := bindPacked(t, x, param(w), transform.PEFT, bytesOf(t, w))
		dst := make([]byte, len(bytesOf(t, w)))
		if err := b.Pack(ctx, packed); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: pack: %v", l.name, err)
		}
		if err := b.Rows(ctx, dst, bytesOf(t, w), packed, 0, w.Shape[0]); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: rows: %v", l.name, err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	w := random(t, r, "w", safetensors.BF16, 64, 130)
	x := transform.LowRank{A: random(t, r, "a", safetensors.F32, 9, 130), B: random(t, r, "b", safetensors.F32, 64, 9), Scale: 1}
	b, packed := bindPacked(t, x, param(w), transform.PEFT, bytesOf(t, w))
	want := merge(t, x, param(w), transform.PEFT, bytesOf(t, w))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for lo := range int64(64) {
				dst := make([]byte, 260)
				if err := b.Rows(context.Background(), dst, bytesOf(t, w)[lo*260:(lo+1)*260], packed, lo, lo+1); err != nil {
					t.Error(err)
				}
				if !slices.Equal(dst, want[lo*260:(lo+1)*260]) {
					t.Errorf("row %d differs", lo)
				}
			}
		})
	}
	group.Wait()
}
