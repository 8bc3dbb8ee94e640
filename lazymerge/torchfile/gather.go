package torchfile

import "slices"

// gather copies elements [lo, hi), in C order, of the dimensions from d on, the first
// of which lies at a place of the storage. What is not whole in a dimension is left to
// the next one, so that all is copied in boxes, two in a dimension.
func (t *Tensor) gather(dst []byte, d int, place, lo, hi int64) error {
	if lo == hi {
		return nil
	}
	inner := int64(1)
	if d < len(t.Shape) {
		for _, n := range t.Shape[d+1:] {
			inner *= n
		}
	}
	width := t.typ.bytes
	for lo < hi {
		i, below := int64(0), lo
		if d < len(t.Shape) {
			i, below = lo/inner, lo%inner
		}
		whole := (hi - i*inner) / inner
		if below == 0 && whole > 0 {
			b := t.box(d, place, i, whole)
			n := whole * inner
			if err := b.copy(dst[:n*width]); err != nil {
				return err
			}
			dst, lo = dst[n*width:], lo+n
			continue
		}
		end := min(hi-i*inner, inner)
		n := end - below
		if err := t.gather(dst[:n*width], d+1, place+i*t.Stride[d], below, end); err != nil {
			return err
		}
		dst, lo = dst[n*width:], lo+n
	}
	return nil
}

// box is a part of a tensor that is whole in its last dimensions.
type box struct {
	t     *Tensor
	place int64  // of its first element in the storage
	axes  []axis // by falling strides, so that the storage is walked forward

	have   []byte // elements [lo, hi) of the storage
	lo, hi int64
	ahead  int64 // how many elements to read at a time
	end    int64 // of the elements that the box has
}

// axis is a dimension of a box.
type axis struct {
	size, stride int64 // in the storage, in elements
	to           int64 // stride in the copy
}

// Sizes in bytes: what is read at a time where the box has most of it, and which runs
// are read straight into the copy.
const (
	window   = 1 << 20
	longRun  = 1 << 16
	sparsest = 8 // elements of the storage for each one of the box
)

// box takes count items of dimension d from item i on.
func (t *Tensor) box(d int, place, i, count int64) *box {
	b := &box{t: t, place: place, lo: -1, hi: -1}
	to, last, elements := int64(1), int64(0), int64(1)
	for k := len(t.Shape) - 1; k >= d; k-- {
		size := t.Shape[k]
		if k == d {
			size, b.place = count, place+i*t.Stride[k]
		}
		if size > 1 {
			b.axes = append(b.axes, axis{size, t.Stride[k], to})
		}
		to *= size
		elements *= size
		last += (size - 1) * t.Stride[k]
	}
	slices.SortStableFunc(b.axes, func(x, y axis) int { return int(max(min(y.stride-x.stride, 1), -1)) })
	b.end = b.place + last + 1
	b.ahead = 1
	if last+1 <= sparsest*elements {
		b.ahead = window / t.typ.bytes
	}
	return b
}

// copy copies the elements in C order.
func (b *box) copy(dst []byte) error {
	axes := b.axes
	if len(axes) == 0 {
		axes = []axis{{1, 1, 1}}
	}
	outer, inner := axes[:len(axes)-1], axes[len(axes)-1]
	at := make([]int64, len(outer))
	place, to := b.place, int64(0)
	for {
		if err := b.run(dst, inner, place, to); err != nil {
			return err
		}
		k := len(outer) - 1
		for ; k >= 0; k-- {
			at[k]++
			place += outer[k].stride
			to += outer[k].to
			if at[k] < outer[k].size {
				break
			}
			place -= outer[k].size * outer[k].stride
			to -= outer[k].size * outer[k].to
			at[k] = 0
		}
		if k < 0 {
			return nil
		}
	}
}

// run copies the elements of the innermost axis.
func (b *box) run(dst []byte, x axis, place, to int64) error {
	width := b.t.typ.bytes
	if x.stride == 1 && x.to == 1 {
		part := dst[to*width : (to+x.size)*width]
		if int64(len(part)) >= longRun {
			return b.t.raw(part, place)
		}
		from, err := b.elements(place, x.size)
		copy(part, from)
		return err
	}
	for range x.size {
		from, err := b.elements(place, 1)
		if err != nil {
			return err
		}
		copy(dst[to*width:(to+1)*width], from)
		place, to = place+x.stride, to+x.to
	}
	return nil
}

// elements gives elements of the storage, and reads those that follow as well.
func (b *box) elements(place, n int64) ([]byte, error) {
	width := b.t.typ.bytes
	if place < b.lo || place+n > b.hi {
		size := max(n, min(b.ahead, b.end-place))
		b.have = slices.Grow(b.have[:0], int(size*width))[:size*width]
		b.lo, b.hi = -1, -1
		if err := b.t.raw(b.have, place); err != nil {
			return nil, err
		}
		b.lo, b.hi = place, place+size
	}
	at := (place - b.lo) * width
	return b.have[at : at+n*width], nil
}
