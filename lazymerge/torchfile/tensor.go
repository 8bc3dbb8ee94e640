package torchfile

import (
	"fmt"
	"math/bits"
	"slices"

	"lorafs/safetensors"
)

// Tensor is a view of a storage.
type Tensor struct {
	DType   safetensors.DType // Unknown where the elements have no form here; they cannot be read
	Shape   []int64
	Stride  []int64 // in elements, never negative
	Offset  int64   // of the first element in the storage, in elements
	Storage *Storage

	typ    *elementType
	refuse string // why the elements are not the tensor's values, "" mostly
}

// Elements is the number of elements. Opening has proved that their bytes fit in 63
// bits.
func (t *Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes is the size of the values, which an expanded view's storage does not have.
func (t *Tensor) Bytes() int64 { return t.Elements() * t.typ.bytes }

// check proves that every element lies in the storage, and that sizes fit.
func (t *Tensor) check() error {
	if len(t.Shape) != len(t.Stride) {
		return problem(BadTensor, "%d dimensions and %d strides", len(t.Shape), len(t.Stride))
	}
	if t.Offset < 0 || slices.ContainsFunc(t.Shape, negative) || slices.ContainsFunc(t.Stride, negative) {
		return problem(BadTensor, "shape %s, strides %s, offset %d", sizes(t.Shape), sizes(t.Stride), t.Offset)
	}
	elements, last := uint64(1), uint64(t.Offset)
	for i, d := range t.Shape {
		hi, n := bits.Mul64(elements, uint64(max(d, 1)))
		over, reach := bits.Mul64(uint64(max(d-1, 0)), uint64(t.Stride[i]))
		if last += reach; hi != 0 || over != 0 || n > maxStorage || reach > maxStorage || last > 2*maxStorage {
			return problem(BadTensor, "shape %s, strides %s", sizes(t.Shape), sizes(t.Stride))
		}
		elements = n
	}
	if slices.Contains(t.Shape, 0) {
		return nil
	}
	if have := uint64(t.Storage.Bytes / t.typ.bytes); last >= have {
		return problem(BadTensor, "shape %s reaches element %d of the %d of storage %q", sizes(t.Shape), last, have, shorten(t.Storage.Key))
	}
	return nil
}

func negative(n int64) bool { return n < 0 }

// sizes writes dimensions out, a few of them.
func sizes(dims []int64) string {
	const limit = 8
	if len(dims) > limit {
		return fmt.Sprintf("%v… (%d dimensions)", dims[:limit], len(dims))
	}
	return fmt.Sprint(dims)
}

// readable says whether the elements are values that have a form here.
func (t *Tensor) readable() error {
	e := (*Error)(nil)
	switch {
	case t.refuse != "":
		e = problem(BadTensor, "%s", t.refuse)
	case t.DType == safetensors.Unknown:
		e = problem(UnknownDType, "elements of %s", t.typ.name)
	default:
		return nil
	}
	e.Path = t.Storage.file.Path()
	return e
}

// contiguous reports whether the elements lie in C order without gaps.
func (t *Tensor) contiguous() bool {
	next := int64(1)
	for i := len(t.Shape) - 1; i >= 0; i-- {
		if t.Shape[i] != 1 && t.Stride[i] != next {
			return t.Elements() == 0
		}
		next *= t.Shape[i]
	}
	return true
}
