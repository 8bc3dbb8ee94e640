package transform_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestNarrow holds the roundings of a merge in the base's dtype against their formulas, bit
// for bit: the sum of a product of rank 1 has no order.
func TestNarrow(t *testing.T) {
	const scale, down, up = 0.1875, 0.375, 0.5 // the scale as diffusers divides it
	r := rand.New(rand.NewPCG(4, 2))
	for _, d := range []safetensors.DType{safetensors.BF16, safetensors.F16, safetensors.F32} {
		for _, l := range layouts(1) {
			if l.kind == transform.OutProj {
				continue
			}
			w := random(t, r, "w", d, l.w...)
			a, b := random(t, r, "a", safetensors.F32, l.a...), random(t, r, "b", safetensors.F32, l.b...)
			rd := func(v float32) float32 { return float32(rounded(t, float64(v), d)) }
			for rounding, delta := range map[transform.Rounding]func(a, b float32) float32{
				transform.Narrow:        func(a, b float32) float32 { return rd(float32(rd(a)*rd(b)) * scale) },
				transform.NarrowProduct: func(a, b float32) float32 { return rd(rd(rd(a)*rd(b)) * scale) },
				transform.NarrowScaled:  func(a, b float32) float32 { return rd(rd(a*down) * rd(b*up)) },
			} {
				switch {
				case d == safetensors.F32 && rounding != transform.Narrow:
					continue // of 32 bits nothing is narrow
				case rounding == transform.NarrowProduct && l.kind > transform.Conv:
					continue // merged as by Narrow
				}
				t.Run(fmt.Sprintf("%v/%s/%v", rounding, l.name, d), func(t *testing.T) {
					x := transform.LowRank{A: a, B: b, Scale: scale, Layer: l.kind}
					got := widen(t, merge(t, x, transform.Param{Info: w.Info, Conv1D: l.conv1D}, rounding, bytesOf(t, w)), d)
					if want := narrowly(t, l, w, a, b, delta); !slices.Equal(got, want) {
						t.Errorf("got  %v\nwant %v", got, want)
					}
				})
			}
		}
	}
}

// narrowly adds what delta makes of the factors' elements.
func narrowly(t *testing.T, l layout, w, a, b *safetensors.Tensor, delta func(a, b float32) float32) []float32 {
	t.Helper()
	rows, cols := l.size()
	x, y, out := widen(t, bytesOf(t, a), a.DType), widen(t, bytesOf(t, b), b.DType), widen(t, bytesOf(t, w), w.DType)
	for i := range rows {
		for j := range cols {
			at, of := j, i
			if l.turned {
				at, of = i, j
			}
			out[i*cols+j] = float32(rounded(t, float64(out[i*cols+j]+delta(x[at], y[of])), w.DType))
		}
	}
	return out
}

// TestNarrowBias: the bias is rounded, scaled, rounded and added.
func TestNarrowBias(t *testing.T) {
	const scale = 0.3
	w := tensor(t, "w", safetensors.BF16, []float32{1, -2, 0.5}, 3)
	bias := tensor(t, "b", safetensors.F32, []float32{0.1234567, 1.2345678, -0.7654321}, 3)
	got := widen(t, merge(t, transform.AddBias{Bias: bias, Scale: scale}, param(w), transform.Narrow, bytesOf(t, w)), w.DType)
	want := widen(t, bytesOf(t, w), w.DType)
	for i, b := range widen(t, bytesOf(t, bias), bias.DType) {
		rd := func(v float32) float32 { return float32(rounded(t, float64(v), w.DType)) }
		want[i] = rd(want[i] + rd(rd(b)*float32(scale)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
