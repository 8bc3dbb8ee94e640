package kernel

import "math"

// load widens the elements of src.
func load(dst []float32, src []byte, t DType) {
	switch t {
	case BF16:
		src = src[:2*len(dst)]
		for j := range dst {
			dst[j] = fromBF16(le.Uint16(src[2*j:]))
		}
	case F16:
		src = src[:2*len(dst)]
		for j := range dst {
			dst[j] = fromF16(le.Uint16(src[2*j:]))
		}
	default:
		src = src[:4*len(dst)]
		for j := range dst {
			dst[j] = math.Float32frombits(le.Uint32(src[4*j:]))
		}
	}
}

// store rounds the values of src times by to nearest even and tells whether all results
// are finite.
func store(dst []byte, src []float32, by float32, t DType) bool {
	ok := true
	switch t {
	case BF16:
		dst = dst[:2*len(src)]
		for j, x := range src {
			if x *= by; x != x {
				x = float32(math.NaN())
			}
			out := toBF16(x)
			ok = ok && out&expBF16 != expBF16
			le.PutUint16(dst[2*j:], out)
		}
	case F16:
		dst = dst[:2*len(src)]
		for j, x := range src {
			out := toF16(by * x)
			ok = ok && out&expF16 != expF16
			le.PutUint16(dst[2*j:], out)
		}
	default:
		dst = dst[:4*len(src)]
		for j, x := range src {
			out := math.Float32bits(by * x)
			ok = ok && out&expF32 != expF32
			le.PutUint32(dst[4*j:], out)
		}
	}
	return ok
}
