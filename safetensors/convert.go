package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// littleEndian says whether a float32 in memory has the bytes of the format.
var littleEndian = func() bool {
	x := uint16(1)
	return *(*byte)(unsafe.Pointer(&x)) == 1
}()

// AsFloat32 converts len(dst) elements of src, which may be unaligned, to
// float32: F16, BF16 and F32 exactly, F64 rounded to nearest even. Other dtypes
// give a *ConvertError. A src of another length panics.
func AsFloat32(dst []float32, src []byte, d DType) error {
	if !convertible(d) {
		return &ConvertError{DType: d}
	}
	checkLengths(len(src), len(dst), d)
	switch d {
	case BF16:
		brainsToFloats(dst, src)
	case F16:
		for ; len(dst) >= 4 && len(src) >= 8; dst, src = dst[4:], src[8:] {
			v := binary.LittleEndian.Uint64(src)
			dst[0] = halfToFloat(uint16(v))
			dst[1] = halfToFloat(uint16(v >> 16))
			dst[2] = halfToFloat(uint16(v >> 32))
			dst[3] = halfToFloat(uint16(v >> 48))
		}
		for i := range dst {
			dst[i] = halfToFloat(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case F32:
		if littleEndian {
			copy(floatBytes(dst), src)
			break
		}
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	}
	return nil
}

// FromFloat32 is the way back, rounding to nearest even. NaN stays NaN and is
// made quiet.
func FromFloat32(dst []byte, src []float32, d DType) error {
	if !convertible(d) {
		return &ConvertError{DType: d}
	}
	checkLengths(len(dst), len(src), d)
	switch d {
	case BF16:
		for ; len(src) >= 4 && len(dst) >= 8; dst, src = dst[8:], src[4:] {
			binary.LittleEndian.PutUint64(dst, uint64(floatToBrain(src[0]))|uint64(floatToBrain(src[1]))<<16|
				uint64(floatToBrain(src[2]))<<32|uint64(floatToBrain(src[3]))<<48)
		}
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], floatToBrain(x))
		}
	case F16:
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], floatToHalf(x))
		}
	case F32:
		if littleEndian {
			copy(dst, floatBytes(src))
			break
		}
		for i, x := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
		}
	case F64:
		for i, x := range src {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(x)))
		}
	}
	return nil
}

func convertible(d DType) bool {
	return d == BF16 || d == F16 || d == F32 || d == F64
}

func checkLengths(data, floats int, d DType) {
	if data != floats*d.Bits()/8 {
		panic(fmt.Sprintf("safetensors: %d bytes for %d elements of %s", data, floats, d))
	}
}

func floatBytes(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}

const (
	quietBrain = 1 << 6
	quietHalf  = 1 << 9
)

func brainsToFloats(dst []float32, src []byte) {
	for ; len(dst) >= 4 && len(src) >= 8; dst, src = dst[4:], src[8:] {
		v := binary.LittleEndian.Uint64(src)
		dst[0] = math.Float32frombits(uint32(v) << 16)
		dst[1] = math.Float32frombits(uint32(v) &^ 0xffff)
		dst[2] = math.Float32frombits(uint32(v>>32) << 16)
		dst[3] = math.Float32frombits(uint32(v>>32) &^ 0xffff)
	}
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

func floatToBrain(x float32) uint16 {
	b := math.Float32bits(x)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | quietBrain
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// halfToFloat shifts exponent and fraction into place and multiplies by 2^112,
// the difference of the exponent biases, which is exact and normalises
// subnormals on the way.
func halfToFloat(h uint16) float32 {
	const rebias = 0x1p112
	sign := uint32(h&0x8000) << 16
	m := uint32(h & 0x7fff)
	if m >= 0x7c00 {
		if m > 0x7c00 {
			m |= quietHalf
		}
		return math.Float32frombits(sign | 0x7f800000 | m<<13)
	}
	f := math.Float32frombits(m<<13) * rebias
	return math.Float32frombits(sign | math.Float32bits(f))
}

func floatToHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN
		return sign | 0x7c00 | quietHalf | uint16(b>>13&0x3ff)
	case b >= 0x477ff000: // from 65520 on, halfway to 2^16, rounds to infinity
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: subnormal
		// The last bit of 0.5 + x weighs 2^-24, that of a subnormal half, so
		// the addition rounds as wanted.
		f := math.Float32frombits(b) + 0.5
		return sign | uint16(math.Float32bits(f)-0x3f000000)
	}
	return sign | uint16((b-112<<23+0xfff+b>>13&1)>>13)
}
