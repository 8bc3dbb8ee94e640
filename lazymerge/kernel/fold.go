package kernel

import (
	"math"
	"math/bits"
)

// reach says between which powers of two the products of some rows lie.
type reach struct {
	low  int // exponent of a power that divides them all
	high int // exponent of a power above their sums
	note     // of the rows of B
}

// reach is that of the rows [top,bottom) of B, which share the order o.
func (a *Args) reach(o order, top, bottom int) reach {
	const bias = 127
	r := reach{note: nothing}
	for _, n := range a.B.notes[top:bottom] {
		r.join(n)
	}
	fraction := 23
	if o == pairwise {
		fraction = 7
	}
	r.low = int(a.A.grain.least) + r.note.low() - 2*(bias+fraction)
	r.high = int(a.A.grain.most) + r.note.high() - 2*(bias-1) + bits.Len(uint(a.A.Rank))
	return r
}

// normal tells whether no sum can be denormal or -0, nor infinite, even if it is by
// 2^shift as large.
func (r reach) normal(shift int) bool {
	return r.low+min(shift, 0) >= -126 && r.high+max(shift, 0) <= 127
}

// exponent is that of a power of two.
func exponent(x float32) (n int, ok bool) {
	b := math.Float32bits(x)
	return int(b>>23) - 127, b&0x7fffff == 0 && b>>23 > 0 && b>>23 < 255
}

// fold splits the scale into a factor for B and the rest. All of it is for B where that
// changes no bit of the result: a power of two, and every value and sum stays normal.
func (a *Args) fold(r reach) (left, rest float32) {
	n, ok := exponent(a.Scale)
	if ok && r.normal(n) && r.note.low()+n >= 1 && r.note.high()+n <= 254 {
		return a.Scale, 1
	}
	return 1, a.Scale
}

// scaled is B times a power of two in the rows [top,bottom).
func (c *Coeffs) scaled(top, bottom int, by float32) []float32 {
	if by == 1 {
		return c.values
	}
	c.folded = grow(c.folded, len(c.values))
	folded := c.folded[top*c.rank : bottom*c.rank]
	for i, x := range c.values[top*c.rank : bottom*c.rank] {
		folded[i] = x * by
	}
	return c.folded
}
