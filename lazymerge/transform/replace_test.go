package transform_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func TestReplace(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dtypes := []safetensors.DType{safetensors.BF16, safetensors.F16, safetensors.F32, safetensors.F64}
	for _, d := range dtypes {
		for _, v := range dtypes {
			w := random(t, r, "w", d, 5, 3)
			value := random(t, r, "v", v, 7, 3)
			b, err := transform.Replace{Value: value}.Bind(param(w), transform.PEFT)
			if err != nil {
				t.Fatal(err)
			}
			dst := make([]byte, 2*3*d.Bits()/8)
			if err := b.Rows(context.Background(), dst, nil, nil, 5, 7); err != nil {
				t.Fatal(err)
			}
			got, want := widen(t, dst, d), widen(t, bytesOf(t, value), v)[15:]
			for i := range want {
				x := float64(want[i])
				if d != safetensors.F64 {
					x = rounded(t, x, d)
				}
				if float64(got[i]) != x {
					t.Fatalf("%v into %v: got %g, want %g", v, d, got[i], x)
				}
			}
		}
	}
}

func TestReplaceKeepsForeignTypes(t *testing.T) {
	w := raw(t, "w", safetensors.I64, make([]byte, 24), 3)
	v := raw(t, "v", safetensors.I64, []byte("twenty-four bytes, really"[:24]), 3)
	if got := merge(t, transform.Replace{Value: v}, param(w), transform.PEFT, bytesOf(t, w)); string(got) != string(bytesOf(t, v)) {
		t.Errorf("got %q", got)
	}
}

func TestReplaceShapes(t *testing.T) {
	w := tensor(t, "w", safetensors.F32, make([]float32, 6), 2, 3)
	for _, shape := range [][]int64{{3, 2}, {6}, {2, 3, 1}} {
		_, err := transform.Replace{Value: tensor(t, "v", safetensors.F32, make([]float32, 6), shape...)}.Bind(param(w), transform.PEFT)
		var s *transform.ShapeError
		if !errors.As(err, &s) || s.Other != "v" || s.Tensor != "w" {
			t.Errorf("shape %v: got %v", shape, err)
		}
	}
}

func TestReplaceRows(t *testing.T) {
	w := tensor(t, "w", safetensors.BF16, []float32{1, 2, 3, 4, 5, 6, 7, 8}, 4, 2)
	rows := tensor(t, "r", safetensors.F32, []float32{10, 20, 30, 40, 50.1, 60}, 3, 2)
	x := transform.ReplaceRows{Indices: []int64{3, 0, 3}, Rows: rows}
	got := widen(t, merge(t, x, param(w), transform.PEFT, bytesOf(t, w)), safetensors.BF16)
	if want := []float32{30, 40, 3, 4, 5, 6, float32(rounded(t, 50.1, safetensors.BF16)), 60}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, index := range []int64{-1, 4} {
		_, err := transform.ReplaceRows{Indices: []int64{0, 1, index}, Rows: rows}.Bind(param(w), transform.PEFT)
		var i *transform.IndexError
		if !errors.As(err, &i) || i.Index != index || i.Rows != 4 {
			t.Errorf("index %d: got %v", index, err)
		}
	}
	_, err := transform.ReplaceRows{Indices: []int64{0, 1}, Rows: rows}.Bind(param(w), transform.PEFT)
	var s *transform.ShapeError
	if !errors.As(err, &s) || !slices.Equal(s.Want, []int64{2, 2}) {
		t.Errorf("two indices for three rows: got %v", err)
	}
}

func TestAddBias(t *testing.T) {
	w := tensor(t, "w", safetensors.BF16, []float32{1, 2, 3}, 3)
	delta := tensor(t, "d", safetensors.F32, []float32{0.01, 0.02, -3}, 3)
	for _, r := range []transform.Rounding{transform.PEFT, transform.Once, transform.Twice} {
		got := widen(t, merge(t, transform.AddBias{Bias: delta, Scale: 2}, param(w), r, bytesOf(t, w)), safetensors.BF16)
		for i, want := range []float64{1.02, 2.04, -3} {
			if float64(got[i]) != rounded(t, want, safetensors.BF16) {
				t.Errorf("element %d: got %g, want %g", i, got[i], want)
			}
		}
	}
	_, err := transform.AddBias{Bias: delta}.Bind(param(tensor(t, "w", safetensors.F32, []float32{1}, 1)), transform.PEFT)
	var s *transform.ShapeError
	if !errors.As(err, &s) || s.Other != "d" {
		t.Errorf("got %v", err)
	}
}

func TestCast(t *testing.T) {
	src := bytesOf(t, tensor(t, "x", safetensors.F32, []float32{1, 1e6, float32(math.Inf(1))}, 3))
	dst := make([]byte, 6)
	err := transform.Cast(dst, safetensors.F16, src, safetensors.F32)
	var overflow *transform.OverflowError
	if !errors.As(err, &overflow) || overflow.DType != safetensors.F16 {
		t.Errorf("overflow: got %v", err)
	}
	if got := widen(t, dst, safetensors.F16); got[0] != 1 || !math.IsInf(float64(got[1]), 1) {
		t.Errorf("got %v", got)
	}
	var dtype *transform.DTypeError
	if err := transform.Cast(dst, safetensors.F16, src, safetensors.I32); !errors.As(err, &dtype) || dtype.DType != safetensors.I32 {
		t.Errorf("integers: got %v", err)
	}
}
