package safetensors

import (
	"fmt"
	"math/bits"
)

// Info names a tensor and says what it holds.
type Info struct {
	Name  string
	DType DType
	Shape []int64
}

// Elements returns the number of elements.
func (i Info) Elements() (int64, error) {
	n, err := i.elements()
	if err == nil && n > 1<<63-1 {
		err = i.overflow()
	}
	if err != nil {
		return 0, err
	}
	return int64(n), nil
}

// Bytes returns the size of the data.
func (i Info) Bytes() (int64, error) {
	n, err := i.elements()
	if err != nil {
		return 0, err
	}
	width := i.DType.Bits()
	if width == 0 {
		return 0, &Error{Kind: TensorInvalidInfo, Tensor: i.Name, Detail: "dtype is " + i.DType.String()}
	}
	hi, total := bits.Mul64(n, uint64(width))
	if hi != 0 {
		return 0, i.overflow()
	}
	if total%8 != 0 {
		return 0, &Error{Kind: MisalignedSlice, Tensor: i.Name, Detail: fmt.Sprintf("%d bits", total)}
	}
	return int64(total / 8), nil
}

// elements multiplies from the left with the overflow rule of the reference:
// [2^40, 2^40, 0] overflows although the product is 0.
func (i Info) elements() (uint64, error) {
	n := uint64(1)
	for _, dim := range i.Shape {
		if dim < 0 {
			return 0, &Error{Kind: TensorInvalidInfo, Tensor: i.Name, Detail: fmt.Sprintf("dimension %d", dim)}
		}
		hi, lo := bits.Mul64(n, uint64(dim))
		if hi != 0 {
			return 0, i.overflow()
		}
		n = lo
	}
	return n, nil
}

func (i Info) overflow() error {
	return &Error{Kind: ValidationOverflow, Tensor: i.Name, Detail: fmt.Sprintf("shape %s of %s", shapeText(i.Shape), i.DType)}
}

func shapeText(shape []int64) string {
	const limit = 8
	if len(shape) > limit {
		return fmt.Sprintf("%v… (%d dimensions)", shape[:limit], len(shape))
	}
	return fmt.Sprint(shape)
}

// Tensor is one tensor of an open File, or bytes in memory. It is a handle: its
// data stays in the mapping until Slice asks for some of it. It may be used by
// many goroutines at a time.
type Tensor struct {
	Info
	data  []byte
	file  *Mapping // nil for bytes in memory
	begin int64    // where data begins in file
}

// FromBytes makes a tensor of data in memory, which it keeps and which must not
// change any more.
func FromBytes(info Info, data []byte) (*Tensor, error) {
	size, err := info.Bytes()
	if err != nil {
		return nil, err
	}
	if size != int64(len(data)) {
		return nil, &Error{Kind: InvalidTensorView, Tensor: info.Name,
			Detail: fmt.Sprintf("%s of shape %s takes %d bytes, got %d", info.DType, shapeText(info.Shape), size, len(data))}
	}
	return &Tensor{Info: info, data: data}, nil
}

// Path returns the file that holds the tensor, "" for bytes in memory.
func (t *Tensor) Path() string {
	if t.file == nil {
		return ""
	}
	return t.file.path
}

// Unchanged asks of the file that holds the tensor what Mapping.Unchanged does; bytes
// in memory never change.
func (t *Tensor) Unchanged() error {
	if t.file == nil {
		return nil
	}
	return t.file.Unchanged()
}

// Size returns the number of bytes of the data.
func (t *Tensor) Size() int64 { return int64(len(t.data)) }

// Slice returns bytes [lo, hi) of the data, made resident by a system call so
// that touching them neither blocks the Go scheduler in a page fault nor, where
// the file was cut short, kills the process. The bytes are read-only, may be
// unaligned, and die with the File's Close. A file that lost those bytes gives
// a *ChangedError. Bounds outside the tensor panic, as those of a Go slice do.
func (t *Tensor) Slice(lo, hi int64) ([]byte, error) {
	if lo < 0 || hi < lo || hi > int64(len(t.data)) {
		panic(fmt.Sprintf("safetensors: slice [%d:%d] of tensor %q with %d bytes", lo, hi, t.Name, len(t.data)))
	}
	if t.file != nil {
		if err := t.file.populate(t.begin+lo, t.begin+hi); err != nil {
			return nil, err
		}
	}
	return t.data[lo:hi:hi], nil
}
