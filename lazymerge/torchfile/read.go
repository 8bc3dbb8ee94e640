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
	run := t.run()
	if run == 1 {
		return t.gather(dst, first, n)
	}
	width := t.typ.bytes
	for n > 0 {
		inRun := first % run
		take := min(run-inRun, n)
		if err := t.raw(dst[:take*width], t.place(first)); err != nil {
			return err
		}
		dst, first, n = dst[take*width:], first+take, n-take
	}
	return nil
}

// raw reads elements that follow each other in the storage.
func (t *Tensor) raw(dst []byte, at int64) error {
	s := t.Storage
	_, err := s.file.in.ReadAt(dst, s.start()+at*t.typ.bytes)
	return err
}

// run is how many elements at the end of the shape follow each other in the storage.
func (t *Tensor) run() int64 {
	n := int64(1)
	for i := len(t.Shape) - 1; i >= 0; i-- {
		if t.Shape[i] == 1 {
			continue
		}
		if t.Stride[i] != n {
			break
		}
		n *= t.Shape[i]
	}
	return n
}

// place is where element number i, in C order, is in the storage.
func (t *Tensor) place(i int64) int64 {
	at := t.Offset
	for d := len(t.Shape) - 1; d >= 0; d-- {
		at += i % t.Shape[d] * t.Stride[d]
		i /= t.Shape[d]
	}
	return at
}

// window bounds the bytes of a storage that are read to pick elements from.
const window = 1 << 20

// gather picks elements one by one from windows of the storage, each of which serves
// all elements up to the first that lies outside of it.
func (t *Tensor) gather(dst []byte, first, n int64) error {
	width := t.typ.bytes
	lo, hi := int64(0), int64(0)
	var have []byte
	for i := range n {
		at := t.place(first + i)
		if at < lo || at >= hi {
			ahead := t.ahead(first+i, n-i, at)
			lo, hi = at, at+ahead
			have = slices.Grow(have[:0], int(ahead*width))[:ahead*width]
			if err := t.raw(have, lo); err != nil {
				return err
			}
		}
		copy(dst[i*width:(i+1)*width], have[(at-lo)*width:])
	}
	return nil
}

// ahead is how much to read at element i, which is at a place, so that what follows it
// in its last dimension is in the window: one element when that is too sparse.
func (t *Tensor) ahead(i, n, at int64) int64 {
	last := len(t.Shape) - 1
	for last > 0 && t.Shape[last] == 1 {
		last--
	}
	stride := t.Stride[last]
	limit := window / t.typ.bytes
	if stride == 0 || stride > limit/2 {
		return 1
	}
	inner := int64(1)
	for _, d := range t.Shape[last+1:] {
		inner *= d
	}
	rest := min(t.Shape[last]-i/inner%t.Shape[last], n)
	return min((rest-1)*stride+1, limit)
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
