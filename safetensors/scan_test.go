package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
)

// little8 is the value of an 8-bit float: finite or not.
func little8(d DType, b byte) bool {
	switch d {
	case F8E5M2:
		return b&0x7f < 0x7c
	case F8E4M3:
		return b&0x7f != 0x7f
	case F8E4M3FNUZ, F8E5M2FNUZ:
		return b != 0x80
	case F8E8M0:
		return b != 0xff
	}
	return true
}

func TestFiniteEvery8BitPattern(t *testing.T) {
	for d := BOOL; int(d) < len(dtypes); d++ {
		if d.Bits() > 8 {
			continue
		}
		for i := range 256 {
			if got := Finite([]byte{byte(i)}, d); got != little8(d, byte(i)) {
				t.Errorf("%v %#x: %v", d, i, got)
			}
		}
	}
}

func TestFiniteEvery16BitPattern(t *testing.T) {
	for _, f := range formats {
		for i := range 1 << 16 {
			x := f.value(uint16(i))
			want := !math.IsNaN(x) && !math.IsInf(x, 0)
			if got := Finite(binary.LittleEndian.AppendUint16(nil, uint16(i)), f.d); got != want {
				t.Fatalf("%v %#x: %v", f.d, i, got)
			}
		}
	}
}

// TestFiniteAtEveryPlace puts one bad element at each place of data of each
// length, between the largest finite elements.
func TestFiniteAtEveryPlace(t *testing.T) {
	for _, c := range []struct {
		d         DType
		good, bad []byte
	}{
		{F64, []byte{255, 255, 255, 255, 255, 255, 0xef, 0xff}, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x7f}},
		{F32, []byte{255, 255, 0x7f, 0xff}, []byte{0, 0, 0x80, 0x7f}},
		{C64, []byte{255, 255, 0x7f, 0xff, 255, 255, 0x7f, 0x7f}, []byte{0, 0, 0, 0, 1, 0, 0x80, 0xff}},
		{BF16, []byte{0x7f, 0xff}, []byte{0x80, 0x7f}},
		{F16, []byte{0xff, 0xfb}, []byte{0x00, 0xfc}},
		{F8E5M2, []byte{0xfb}, []byte{0x7c}},
		{F8E4M3, []byte{0x7e}, []byte{0xff}},
	} {
		for n := range 40 {
			data := bytes.Repeat(c.good, n)
			if !Finite(data, c.d) {
				t.Errorf("%v: %d finite elements", c.d, n)
			}
			for i := range n {
				one := bytes.Clone(data)
				copy(one[i*len(c.good):], c.bad)
				if Finite(one, c.d) {
					t.Errorf("%v: element %d of %d missed", c.d, i, n)
				}
			}
		}
	}
	for _, d := range []DType{BOOL, F4, F6E2M3, U8, I16, U32, I64, U64} {
		if !Finite(bytes.Repeat([]byte{255}, 64), d) {
			t.Errorf("%v is always finite", d)
		}
	}
}

func TestAllZero(t *testing.T) {
	for n := range 100 {
		data := make([]byte, n)
		if !AllZero(data, U8) {
			t.Errorf("%d zeros", n)
		}
		for i := range n {
			data[i] = 1
			if AllZero(data, U8) {
				t.Errorf("byte %d of %d missed", i, n)
			}
			data[i] = 0
		}
	}
	for d, size := range map[DType]int{F16: 2, BF16: 2, F32: 4, F64: 8, I16: 2} {
		for n := size; n < 100; n += size {
			data := make([]byte, n)
			data[n-1] = 0x80
			if got := AllZero(data, d); got != (d != I16) {
				t.Errorf("a sign alone in %d bytes of %v: %v", n, d, got)
			}
			if data[n-1] = 0x40; AllZero(data, d) {
				t.Errorf("an exponent in %d bytes of %v missed", n, d)
			}
		}
	}
}
