package kernel

import (
	"encoding/binary"
	"math"
)

var le = binary.LittleEndian

// roundTo scales d and rounds it to t.
func roundTo(d []float32, by float32, t DType) {
	switch t {
	case BF16:
		for j, x := range d {
			d[j] = fromBF16(toBF16(by * x))
		}
	case F16:
		for j, x := range d {
			d[j] = fromF16(toF16(by * x))
		}
	default:
		for j, x := range d {
			d[j] = by * x
		}
	}
}

// add fills dst with src + by·d and tells whether all finite weights stayed finite.
func add(dst, src []byte, d []float32, by float32, t DType) bool {
	switch t {
	case BF16:
		return addBF16(dst, src, d, by)
	case F16:
		return addF16(dst, src, d, by)
	default:
		return addF32(dst, src, d, by)
	}
}

const (
	expBF16 = 0x7f80
	expF16  = 0x7c00
	expF32  = 0x7f800000
)

// addBF16 does four elements at a time: the conversions are shifts and masks.
func addBF16(dst, src []byte, d []float32, by float32) bool {
	ok := true
	for len(d) >= 4 && len(src) >= 8 && len(dst) >= 8 {
		w := le.Uint64(src)
		x0 := bitsBF16(uint32(w)<<16, by*d[0])
		x1 := bitsBF16(uint32(w)&0xffff0000, by*d[1])
		x2 := bitsBF16(uint32(w>>32)<<16, by*d[2])
		x3 := bitsBF16(uint32(w>>32)&0xffff0000, by*d[3])
		out := uint64(x0>>16|x1&0xffff0000) | uint64(x2>>16|x3&0xffff0000)<<32
		le.PutUint64(dst, out)
		if s := special(out); s != 0 && s&^special(w) != 0 {
			ok = false
		}
		dst, src, d = dst[8:], src[8:], d[4:]
	}
	for j, x := range d {
		w := le.Uint16(src[2*j:])
		out := toBF16(fromBF16(w) + float32(by*x))
		if out&expBF16 == expBF16 && w&expBF16 != expBF16 {
			ok = false
		}
		le.PutUint16(dst[2*j:], out)
	}
	return ok
}

// bitsBF16 is w + x with the rounded bf16 in its high half.
func bitsBF16(w uint32, x float32) uint32 {
	b := math.Float32bits(math.Float32frombits(w) + float32(x))
	return b + 0x7fff + b>>16&1
}

// special marks those of four bf16 that are not finite.
func special(w uint64) uint64 {
	const exp, one, top = 0x7f807f807f807f80, 0x0080008000800080, 0x8000800080008000
	return (w&exp + one) & top
}

func addF16(dst, src []byte, d []float32, by float32) bool {
	dst, src = dst[:2*len(d)], src[:2*len(d)]
	ok := true
	for j, x := range d {
		w := le.Uint16(src[2*j:])
		out := toF16(fromF16(w) + float32(by*x))
		if out&expF16 == expF16 && w&expF16 != expF16 {
			ok = false
		}
		le.PutUint16(dst[2*j:], out)
	}
	return ok
}

func addF32(dst, src []byte, d []float32, by float32) bool {
	dst, src = dst[:4*len(d)], src[:4*len(d)]
	ok := true
	for j, x := range d {
		w := le.Uint32(src[4*j:])
		out := math.Float32bits(math.Float32frombits(w) + float32(by*x))
		if out&expF32 == expF32 && w&expF32 != expF32 {
			ok = false
		}
		le.PutUint32(dst[4*j:], out)
	}
	return ok
}
