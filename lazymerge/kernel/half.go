package kernel

import "math"

func fromBF16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// toBF16 rounds to nearest even. A NaN must have 16 low bits that do not carry into
// its exponent, which holds for canonical NaNs and for those widened from bf16.
func toBF16(x float32) uint16 {
	b := math.Float32bits(x)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// rebias turns the exponent bias of fp16 into that of fp32; a denormal becomes normal.
const rebias = 0x1p112

func fromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	b := uint32(h&0x7fff) << 13
	if b >= 0x7c00<<13 {
		return math.Float32frombits(sign | b | 0x7f800000)
	}
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(b)*rebias))
}

// toF16 rounds to nearest even; what is too large becomes infinite.
func toF16(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x47800000: // 2^16; the rounding below takes care of 65520 and more
		return sign | 0x7c00
	case b < 0x38800000: // 2^-14: adding 1/2 leaves the value in units of 2^-24
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	default:
		return sign | uint16((b-(112<<23)+0xfff+b>>13&1)>>13)
	}
}
