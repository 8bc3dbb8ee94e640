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

// paired holds pairs of the right factor.
type paired struct {
	memory []uint32
	words  []uint32 // part of memory
	kept   uint64   // serial of the factor of which words holds all pairs, or 0
}

// reserve makes room for n words at a multiple of 64 bytes, and keeps nothing.
func (p *paired) reserve(n int) {
	p.memory, p.words = lines(p.memory, n)
	p.kept = 0
}

// prepare makes pairs of the columns [left,right) of A, unless it has those of all
// columns: calls with the same factor share them where they are not many.
func (r *strips) prepare(left, right int) {
	if !r.quads {
		return
	}
	p, serial := &r.B.right, r.A.serial
	panels := (r.A.Cols + panel - 1) / panel
	words := 2 * panel * quads(r.A.Rank) // of a panel
	if serial == 0 || 4*panels*words > keptBytes {
		r.first = left
		p.reserve((right - left + panel - 1) / panel * words)
		r.pairRight(p.words, left, right)
		return
	}
	r.first = 0
	if p.kept == serial {
		return
	}
	p.reserve(panels * words)
	for j := 0; j < panels; j++ {
		r.pairRight(p.words[j*words:], j*panel, (j+1)*panel)
	}
	p.kept = serial
}

// pairRight fills dst with pairs of the columns [left,right) of A. left begins a panel.
func (r *strips) pairRight(dst []uint32, left, right int) {
	c := &r.B.work.call
	c.a = unsafe.Pointer(unsafe.SliceData(r.A.from(left)))
	c.dst = unsafe.Pointer(unsafe.SliceData(dst))
	c.count, c.rank = (right-left+panel-1)/panel, r.A.Rank
	r.shapes.pairRight(c)
}

// lines grows memory and returns n words of it that begin at a multiple of 64 bytes.
func lines(memory []uint32, n int) (grown, words []uint32) {
	memory = grow(memory, n+15)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))) & 63 / 4
	return memory, memory[skip : skip+n]
}
