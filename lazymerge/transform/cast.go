package transform

import (
	"encoding/binary"
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

const castChunk = 4096

// Cast turns elements of one floating dtype into another, rounding to nearest even;
// equal dtypes are copied whatever they are. All of dst is filled even where it
// returns an *OverflowError: finite values became infinite.
func Cast(dst []byte, to safetensors.DType, src []byte, from safetensors.DType) error {
	if to == from {
		copy(dst, src)
		return nil
	}
	for _, d := range []safetensors.DType{from, to} {
		if !widens(d) {
			return &DTypeError{DType: d}
		}
	}
	s := getScratch()
	defer s.release()
	in, out := from.Bits()/8, to.Bits()/8
	finite := true
	for len(src) > 0 {
		n := min(len(src)/in, castChunk)
		s.wide = grow(s.wide, n)
		if err := toFloats(s.wide, src[:n*in], from); err != nil {
			return err
		}
		finite = store(dst[:n*out], s.wide, to) && finite
		src, dst = src[n*in:], dst[n*out:]
	}
	if !finite {
		return &OverflowError{DType: to}
	}
	return nil
}

// store rounds values to a dtype that widens and tells whether the finite ones
// stayed finite.
func store(dst []byte, values []float32, to safetensors.DType) bool {
	switch to {
	case safetensors.F64:
		for i, x := range values {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(float64(x)))
		}
		return true
	case safetensors.BF16:
		return kernel.Store(dst, values, kernel.BF16) || !overflowed(dst, values, kernel.BF16)
	case safetensors.F16:
		return kernel.Store(dst, values, kernel.F16) || !overflowed(dst, values, kernel.F16)
	default:
		return kernel.Store(dst, values, kernel.F32) || !overflowed(dst, values, kernel.F32)
	}
}

// overflowed tells whether a finite value is not finite in dst.
func overflowed(dst []byte, values []float32, t kernel.DType) bool {
	size := t.Size()
	for i, x := range values {
		var back [1]float32
		kernel.Load(back[:], dst[i*size:(i+1)*size], t)
		if x-x == 0 && back[0]-back[0] != 0 {
			return true
		}
	}
	return false
}
