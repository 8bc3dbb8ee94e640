package torchfile

import (
	"fmt"
	"math"
	"slices"

	"lorafs/safetensors"
)

// ReadAt reads elements first, first+1, … in C order, little-endian, as many as dst has
// room for. Bounds outside the tensor panic. Errors: *Error for elements that have no
// form here, *safetensors.ChangedError for a file that lost them, *fs.PathError.
func (t *Tensor) ReadAt(dst []byte, first int64) error {
	width := t.typ.bytes
	n := int64(len(dst)) / width
	if first < 0 || n > t.Elements()-first || int64(len(dst))%width != 0 {
		panic(fmt.Sprintf("torchfile: %d bytes from element %d of %v elements of %s", len(dst), first, t.Shape, t.typ.name))
	}
	if err := t.readable(); err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	if err := t.read(dst, first, n); err != nil {
		return err
	}
	if t.Storage.file.big {
		swap(dst, t.swapWidth())
	}
	return nil
}

// swapWidth is the width of what has an order of bytes: half of a complex number.
func (t *Tensor) swapWidth() int {
	if t.DType == safetensors.C64 {
		return 4
	}
	return int(t.typ.bytes)
}

func swap(b []byte, width int) {
	for ; width > 1 && len(b) >= width; b = b[width:] {
		slices.Reverse(b[:width])
	}
}

// read copies n elements as they lie in the file.
func (t *Tensor) read(dst []byte, first, n int64) error {
	if t.contiguous() {
		return t.raw(dst, t.Offset+first)
	}
	return t.gather(dst, 0, t.Offset, first, first+n)
}

// raw reads elements that follow each other in the storage.
func (t *Tensor) raw(dst []byte, at int64) error {
	s := t.Storage
	_, err := s.file.in.ReadAt(dst, s.start()+at*t.typ.bytes)
	return err
}

// Named gives the tensor as one of package safetensors: a range of the mapping when its
// elements lie there in order, else a copy in memory. Errors: those of ReadAt; an
// *Error when the elements are more than what the storage has, since a copy
// would be larger than the file.
func (t *Tensor) Named(name string) (*safetensors.Tensor, error) {
	if err := t.readable(); err != nil {
		return nil, err
	}
	info := safetensors.Info{Name: name, DType: t.DType, Shape: t.Shape}
	f := t.Storage.file
	if t.inPlace() {
		begin := f.base + t.Storage.start() + t.Offset*t.typ.bytes
		if t.Elements() == 0 {
			begin = 0
		}
		return f.mapping.Tensor(info, begin)
	}
	if t.Bytes() > max(t.Storage.Bytes, smallCopy) || t.Bytes() > math.MaxInt {
		return nil, &Error{Path: f.Path(), Kind: BadTensor, Tensor: name, Detail: fmt.Sprintf("%d bytes of values in a storage of %d", t.Bytes(), t.Storage.Bytes)}
	}
	data := make([]byte, t.Bytes())
	if err := t.ReadAt(data, 0); err != nil {
		return nil, err
	}
	return safetensors.FromBytes(info, data)
}

// inPlace reports whether the values are bytes of the file as they are.
func (t *Tensor) inPlace() bool {
	return t.contiguous() && (!t.Storage.file.big || t.typ.bytes == 1)
}

// smallCopy is how large a copy of an expanded view may be.
const smallCopy = 1 << 20
