package transform_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func integers(t *testing.T, d safetensors.DType, values []int, shape ...int64) *safetensors.Tensor {
	t.Helper()
	var b []byte
	for _, x := range values {
		switch d {
		case safetensors.I64:
			b = binary.LittleEndian.AppendUint64(b, uint64(x))
		default:
			b = binary.LittleEndian.AppendUint32(b, uint32(x))
		}
	}
	return raw(t, "positions", d, b, shape...)
}

func TestSparse(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	base := random(t, r, "w", safetensors.BF16, 7, 5)
	values := tensor(t, "values", safetensors.F32, []float32{0.5, 0.25, -0.125, 0.25, 1}, 5)
	// Rows without an element, a row with several out of order, a position twice.
	rows, cols := []int{6, 0, 3, 3, 3}, []int{4, 0, 3, 1, 3}
	flat := make([]int, 5)
	want := widen(t, content(t, base), safetensors.BF16)
	for i, v := range floatsOf(t, values) {
		flat[i] = rows[i]*5 + cols[i]
		want[flat[i]] += v
	}
	for i, x := range want {
		want[i] = float32(rounded(t, float64(x), safetensors.BF16))
	}
	both := append(append([]int(nil), rows...), cols...)
	asFloats := make([]float32, len(both))
	for i, x := range both {
		asFloats[i] = float32(x)
	}
	for name, positions := range map[string]*safetensors.Tensor{
		"I32": integers(t, safetensors.I32, both, 2, 5), "I64": integers(t, safetensors.I64, both, 2, 5),
		"F32": tensor(t, "positions", safetensors.F32, asFloats, 2, 5), "flat": integers(t, safetensors.I32, flat, 5),
	} {
		x := transform.Sparse{Values: values, Positions: positions}
		got := widen(t, merge(t, x, param(base), transform.PEFT, content(t, base)), safetensors.BF16)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: element %d is %g, want %g", name, i, got[i], want[i])
			}
		}
	}
}

func TestSparseRounding(t *testing.T) {
	base := tensor(t, "w", safetensors.BF16, []float32{1}, 1, 1)
	// 1 + 2⁻⁸ + 2⁻¹⁷ is above the tie of 1 and 1 + 2⁻⁷; the value rounded is the tie.
	x := transform.Sparse{
		Values: tensor(t, "v", safetensors.F32, []float32{0x1p-8 + 0x1p-17}, 1), Positions: integers(t, safetensors.I32, []int{0}, 1), Class: transform.Double,
	}
	for rounding, want := range map[transform.Rounding]float32{transform.PEFT: 1, transform.Twice: 1, transform.Once: 1 + 0x1p-7} {
		if got := widen(t, merge(t, x, param(base), rounding, content(t, base)), safetensors.BF16); got[0] != want {
			t.Errorf("%v: %g, want %g", rounding, got[0], want)
		}
	}
}

func TestSparsePositionsOutside(t *testing.T) {
	base := tensor(t, "w", safetensors.F32, make([]float32, 6), 2, 3)
	values := tensor(t, "v", safetensors.F32, []float32{1}, 1)
	for _, x := range []struct {
		at   *safetensors.Tensor
		want transform.IndexError
	}{
		{integers(t, safetensors.I32, []int{2, 0}, 2, 1), transform.IndexError{Tensor: "w", Index: 2, Rows: 2}},
		{integers(t, safetensors.I32, []int{0, 3}, 2, 1), transform.IndexError{Tensor: "w", Index: 3, Rows: 3, Column: true}},
		{integers(t, safetensors.I64, []int{-1, 0}, 2, 1), transform.IndexError{Tensor: "w", Index: -1, Rows: 2}},
		{integers(t, safetensors.I64, []int{0, -1}, 2, 1), transform.IndexError{Tensor: "w", Index: -1, Rows: 3, Column: true}},
		{integers(t, safetensors.I64, []int{6}, 1), transform.IndexError{Tensor: "w", Index: 2, Rows: 2}},
		{integers(t, safetensors.I32, []int{-1}, 1), transform.IndexError{Tensor: "w", Index: -1, Rows: 2}},
	} {
		_, err := transform.Sparse{Values: values, Positions: x.at}.Bind(param(base), transform.PEFT)
		if e := (*transform.IndexError)(nil); !errors.As(err, &e) || *e != x.want {
			t.Errorf("%v: %v", x.want, err)
		}
	}
	for _, at := range []*safetensors.Tensor{integers(t, safetensors.I32, []int{0, 0}, 2), integers(t, safetensors.I32, []int{0, 0, 0}, 3, 1)} {
		_, err := transform.Sparse{Values: values, Positions: at}.Bind(param(base), transform.PEFT)
		if e := (*transform.ShapeError)(nil); !errors.As(err, &e) {
			t.Error(err)
		}
	}
	for _, at := range []*safetensors.Tensor{raw(t, "p", safetensors.BOOL, []byte{0}, 1), tensor(t, "p", safetensors.F32, []float32{0.5}, 1)} {
		_, err := transform.Sparse{Values: values, Positions: at}.Bind(param(base), transform.PEFT)
		if e := (*transform.DTypeError)(nil); !errors.As(err, &e) {
			t.Error(err)
		}
	}
}
