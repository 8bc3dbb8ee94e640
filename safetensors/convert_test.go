package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// format describes a 16-bit float for the reference below.
type format struct {
	d           DType
	fraction    int // bits
	minExponent int // of the smallest normal
	maxExponent int
}

var formats = []format{{F16, 10, -14, 15}, {BF16, 7, -126, 127}}

// value is what the bits mean, computed the slow way.
func (f format) value(h uint16) float64 {
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	exponent := int(h&0x7fff) >> f.fraction
	fraction := float64(int(h)&(1<<f.fraction-1)) / float64(int(1)<<f.fraction)
	switch {
	case exponent == 1<<(15-f.fraction)-1 && fraction != 0:
		return math.NaN()
	case exponent == 1<<(15-f.fraction)-1:
		return sign * math.Inf(1)
	case exponent == 0:
		return sign * math.Ldexp(fraction, f.minExponent)
	}
	return sign * math.Ldexp(1+fraction, exponent-1+f.minExponent)
}

// round is x to the nearest value of the format, ties to even.
func (f format) round(x float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	_, exponent := math.Frexp(x)
	ulp := math.Ldexp(1, max(exponent-1, f.minExponent)-f.fraction)
	r := math.RoundToEven(x/ulp) * ulp
	if math.Abs(r) >= math.Ldexp(1, f.maxExponent+1) {
		return math.Copysign(math.Inf(1), x)
	}
	return math.Copysign(r, x)
}

func same(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || a == b && math.Signbit(a) == math.Signbit(b)
}

// convertOne sends x to the format and back.
func convertOne(t *testing.T, d DType, x float32) (uint16, float64) {
	t.Helper()
	var b [2]byte
	var back [1]float32
	if err := FromFloat32(b[:], []float32{x}, d); err != nil {
		t.Fatal(err)
	}
	if err := AsFloat32(back[:], b[:], d); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint16(b[:]), float64(back[0])
}

func TestEvery16BitPattern(t *testing.T) {
	for _, f := range formats {
		src := make([]byte, 2<<16)
		for i := range 1 << 16 {
			binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
		}
		got := make([]float32, 1<<16)
		if err := AsFloat32(got, src, f.d); err != nil {
			t.Fatal(err)
		}
		back := make([]byte, 2<<16)
		if err := FromFloat32(back, got, f.d); err != nil {
			t.Fatal(err)
		}
		for i := range 1 << 16 {
			want := f.value(uint16(i))
			if !same(float64(got[i]), want) {
				t.Fatalf("%v %#04x is %v, want %v", f.d, i, got[i], want)
			}
			bits := i
			if math.IsNaN(want) {
				bits |= 1 << (f.fraction - 1) // quiet
			}
			if b := binary.LittleEndian.Uint16(back[2*i:]); int(b) != bits {
				t.Fatalf("%v %#04x comes back as %#04x", f.d, i, b)
			}
		}
	}
}

// TestRoundingBetweenNeighbours tries, between each value and the next, the
// midpoint and its two neighbours in float32.
func TestRoundingBetweenNeighbours(t *testing.T) {
	for _, f := range formats {
		for i := range 0x7fff {
			lo, hi := f.value(uint16(i)), f.value(uint16(i+1))
			if math.IsNaN(hi) {
				break
			}
			if math.IsInf(hi, 1) {
				hi = math.Ldexp(1, f.maxExponent+1)
			}
			mid := float32((lo + hi) / 2) // exact: float32 has more fraction
			for _, x := range []float32{mid, math.Nextafter32(mid, 0), math.Nextafter32(mid, math.MaxFloat32), -mid} {
				if _, got := convertOne(t, f.d, x); !same(got, f.round(float64(x))) {
					t.Fatalf("%v: %v rounds to %v, want %v", f.d, x, got, f.round(float64(x)))
				}
			}
		}
	}
}

func TestRoundingOfRandomFloats(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1 << 18 {
		x := math.Float32frombits(r.Uint32())
		for _, f := range formats {
			bits, got := convertOne(t, f.d, x)
			if want := f.round(float64(x)); !same(got, want) {
				t.Fatalf("%v: %v rounds to %v (%#04x), want %v", f.d, x, got, bits, want)
			}
		}
	}
}

func TestEverySignallingNaNStaysNaN(t *testing.T) {
	for shift := range 23 {
		for _, sign := range []uint32{0, 1 << 31} {
			x := math.Float32frombits(sign | 0x7f800000 | 1<<shift)
			for _, f := range formats {
				bits, got := convertOne(t, f.d, x)
				if !math.IsNaN(got) || bits>>(f.fraction-1)&1 == 0 || uint32(bits>>15) != sign>>31 {
					t.Errorf("%v: NaN %#x becomes %#04x", f.d, math.Float32bits(x), bits)
				}
			}
		}
	}
}

func TestWideFloats(t *testing.T) {
	values := []float64{0, math.Copysign(0, -1), 1, -math.Pi, 1 + 0x1p-24, 1 + 0x1.8p-23, 1e300, -1e300, 0x1p-149, 0x1p-150, 0x1.8p-150, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat32}
	src := make([]byte, 8*len(values))
	for i, x := range values {
		binary.LittleEndian.PutUint64(src[8*i:], math.Float64bits(x))
	}
	narrow := make([]float32, len(values))
	if err := AsFloat32(narrow, src, F64); err != nil {
		t.Fatal(err)
	}
	bytes64, bytes32 := make([]byte, len(src)), make([]byte, len(src)/2)
	if err := errors.Join(FromFloat32(bytes64, narrow, F64), FromFloat32(bytes32, narrow, F32)); err != nil {
		t.Fatal(err)
	}
	again := make([]float32, len(values))
	if err := AsFloat32(again, bytes32, F32); err != nil {
		t.Fatal(err)
	}
	for i, x := range values {
		want := float64(float32(x))
		wide := math.Float64frombits(binary.LittleEndian.Uint64(bytes64[8*i:]))
		if !same(float64(narrow[i]), want) || !same(wide, want) || math.Float32bits(again[i]) != math.Float32bits(narrow[i]) {
			t.Errorf("%v becomes %v, %v, %v", x, narrow[i], wide, again[i])
		}
	}
}

func TestConversionOfUnalignedData(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, d := range []DType{F16, BF16, F32, F64} {
		const n = 37
		buf := make([]byte, n*8+8)
		for i := range buf {
			buf[i] = byte(r.Uint32()) &^ 0x40 // keeps exponents small: no NaN
		}
		for shift := range 8 {
			src := buf[shift : shift+n*d.Bits()/8]
			got, want := make([]float32, n), make([]float32, n)
			if err := errors.Join(AsFloat32(got, src, d), AsFloat32(want, bytes.Clone(src), d)); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%v at +%d: %v, want %v", d, shift, got, want)
			}
			dst := make([]byte, len(src)+shift+1)
			if err := FromFloat32(dst[shift:len(dst)-1], got, d); err != nil {
				t.Fatal(err)
			}
			if d != F64 && !bytes.Equal(dst[shift:len(dst)-1], src) {
				t.Errorf("%v at +%d does not come back", d, shift)
			}
		}
	}
}

func TestConversionRefuses(t *testing.T) {
	for d := Unknown; int(d) < len(dtypes)+1; d++ {
		want := d != F16 && d != BF16 && d != F32 && d != F64
		var e *ConvertError
		if err := AsFloat32(nil, nil, d); errors.As(err, &e) != want {
			t.Errorf("%v: %v", d, err)
		}
		if err := FromFloat32(nil, nil, d); errors.As(err, &e) != want {
			t.Errorf("%v: %v", d, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a src of another length does not panic")
		}
	}()
	AsFloat32(make([]float32, 2), make([]byte, 5), F16)
}

func BenchmarkConvert(b *testing.B) {
	for _, d := range []DType{BF16, F16, F32, F64} {
		const n = 1 << 18
		data, floats := make([]byte, n*d.Bits()/8), make([]float32, n)
		for i := range floats {
			floats[i] = float32(i) / 1000
		}
		b.Run("from/"+d.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				FromFloat32(data, floats, d)
			}
		})
		b.Run("as/"+d.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				AsFloat32(floats, data, d)
			}
		})
		b.Run("finite/"+d.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				Finite(data, d)
			}
		})
	}
}
