package kernel

import "unsafe"

// A quad is four k of a factor as two pairs of bf16: the first and third, then the
// second and fourth, the earlier one in the high half. Zeros complete the last quad.

// quads is the number of quads of a rank.
func quads(rank int) int { return (rank + 3) / 4 }

// pairLeft makes pairs of the rows [top,bottom) of B times a power of two.
func (r *strips) pairLeft(top, bottom int, by float32) {
	b := r.B
	n := 2 * quads(b.rank)
	b.left = grow(b.left, b.rows*n)
	c := &b.work.call
	c.a = unsafe.Pointer(unsafe.SliceData(b.row(top)))
	c.dst = unsafe.Pointer(&b.left[top*n])
	c.count, c.rank, c.scale = bottom-top, b.rank, by
	r.shapes.pairLeft(c)
}

// pairRight makes pairs of the columns [left,right) of A. left begins a panel.
func (r *strips) pairRight(left, right int) {
	b := r.B
	panels := (right - left + panel - 1) / panel
	b.right = aligned(b.right, panels*quads(r.A.Rank)*2*panel)
	c := &b.work.call
	c.a = unsafe.Pointer(unsafe.SliceData(r.A.from(left)))
	c.dst = unsafe.Pointer(unsafe.SliceData(b.right))
	c.count, c.rank = panels, r.A.Rank
	r.shapes.pairRight(c)
}

// aligned is grow at a multiple of 64 bytes.
func aligned(s []uint32, n int) []uint32 {
	const line = 64 / 4
	if cap(s) >= n {
		return s[:n]
	}
	s = make([]uint32, n+line)
	at := -uintptr(unsafe.Pointer(unsafe.SliceData(s))) / 4 % line
	return s[at : int(at)+n]
}
