package transform

import (
	"encoding/binary"
	"math"

	"lorafs/safetensors"
)

// readIndices fills dst with t's elements from the from-th on, which are numbers of
// rows. Floats pass when they are whole. Errors: *DTypeError.
func readIndices(dst []int64, t *safetensors.Tensor, from int64) error {
	size := int64(t.DType.Bits() / 8)
	b, err := t.Slice(from*size, (from+int64(len(dst)))*size)
	if err != nil {
		return err
	}
	switch t.DType {
	case safetensors.U8:
		for i := range dst {
			dst[i] = int64(b[i])
		}
	case safetensors.I16:
		for i := range dst {
			dst[i] = int64(int16(binary.LittleEndian.Uint16(b[2*i:])))
		}
	case safetensors.I32:
		for i := range dst {
			dst[i] = int64(int32(binary.LittleEndian.Uint32(b[4*i:])))
		}
	case safetensors.I64:
		for i := range dst {
			dst[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
		}
	default:
		return wholeFloats(dst, t, from)
	}
	return nil
}

func wholeFloats(dst []int64, t *safetensors.Tensor, from int64) error {
	if err := needFloats(t); err != nil {
		return err
	}
	values := make([]float32, len(dst))
	if err := ReadFloats(values, t, from); err != nil {
		return err
	}
	for i, x := range values {
		if x != float32(math.Trunc(float64(x))) || math.Abs(float64(x)) > 1<<24 {
			return &DTypeError{Tensor: t.Name, DType: t.DType}
		}
		dst[i] = int64(x)
	}
	return nil
}

// checkIndices holds every element of t against a number of rows. Errors: *DTypeError,
// *IndexError.
func checkIndices(t, of *safetensors.Tensor) error {
	const step = 1 << 13
	rows, _ := flatten(of.Shape)
	buf := make([]int64, step)
	n := product(t.Shape)
	for at := int64(0); at < n; at += step {
		part := buf[:min(step, n-at)]
		if err := readIndices(part, t, at); err != nil {
			return err
		}
		for _, x := range part {
			if x < 0 || x >= rows {
				return &IndexError{Tensor: of.Name, Index: x, Rows: rows}
			}
		}
	}
	return nil
}
