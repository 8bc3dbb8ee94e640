package safetensors

import (
	"bytes"
	"encoding/binary"
)

// Finite reports whether no element is NaN or infinite. Integers, and floats of
// 4 and 6 bits, always are finite.
func Finite(src []byte, d DType) bool {
	switch d {
	case F64:
		return !anyLane(src, 0x7ff0000000000000, 1<<63)
	case F32, C64:
		return !anyLane(src, 0x7f8000007f800000, 0x8000000080000000)
	case BF16:
		return !anyLane(src, 0x7f807f807f807f80, 0x8000800080008000)
	case F16:
		return !anyLane(src, 0x7c007c007c007c00, 0x8000800080008000)
	case F8E5M2:
		return !anyLane(src, 0x7c7c7c7c7c7c7c7c, 0x8080808080808080)
	case F8E4M3: // has no infinity, one NaN
		return !anyLane(src, 0x7f7f7f7f7f7f7f7f, 0x8080808080808080)
	case F8E4M3FNUZ, F8E5M2FNUZ: // NaN stands where others have -0
		return bytes.IndexByte(src, 0x80) < 0
	case F8E8M0:
		return bytes.IndexByte(src, 0xff) < 0
	}
	return true
}

// anyLane reports whether some lane has all bits of its part of mask set; high
// is the top bit of each lane and not in mask. A lane of mask &^ v is zero just
// then, and only then high minus it keeps its top bit.
func anyLane(src []byte, mask, high uint64) bool {
	for ; len(src) >= 32; src = src[32:] {
		a := high - mask&^binary.LittleEndian.Uint64(src)
		b := high - mask&^binary.LittleEndian.Uint64(src[8:])
		c := high - mask&^binary.LittleEndian.Uint64(src[16:])
		d := high - mask&^binary.LittleEndian.Uint64(src[24:])
		if (a|b|c|d)&high != 0 {
			return true
		}
	}
	for ; len(src) >= 8; src = src[8:] {
		if (high-mask&^binary.LittleEndian.Uint64(src))&high != 0 {
			return true
		}
	}
	var tail [8]byte
	copy(tail[:], src)
	return (high-mask&^binary.LittleEndian.Uint64(tail[:]))&high != 0
}

// AllZero reports whether every element is zero; a float of -0 is. src holds whole elements.
func AllZero(src []byte, d DType) bool {
	mask := ^uint64(0)
	switch d {
	case F16, BF16:
		mask = 0x7fff7fff7fff7fff
	case F32:
		mask = 0x7fffffff7fffffff
	case F64:
		mask = 1<<63 - 1
	}
	for ; len(src) >= 32; src = src[32:] {
		a := binary.LittleEndian.Uint64(src) | binary.LittleEndian.Uint64(src[8:])
		b := binary.LittleEndian.Uint64(src[16:]) | binary.LittleEndian.Uint64(src[24:])
		if (a|b)&mask != 0 {
			return false
		}
	}
	var tail [32]byte
	copy(tail[:], src)
	for i := 0; i < len(tail); i += 8 {
		if binary.LittleEndian.Uint64(tail[i:])&mask != 0 {
			return false
		}
	}
	return true
}
