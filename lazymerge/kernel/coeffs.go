package kernel

import "math"

// Coeffs is the left factor for a block of rows. The zero value is ready for Reset; a
// reused one keeps its memory. It also holds what a call works with, and so serves one
// call at a time.
type Coeffs struct {
	rows, rank int
	values     []float32 // a row after another
	notes      []note    // of each row
	folded     []float32 // values times a power of two
	left       []uint32  // values in pairs, see pairs.go
	right      paired    // A in pairs
	tiles      *tiles    // of a matrix unit, once it was used
	work       work
}

// Reset makes c a block of rows×rank values, all of which must then be set.
func (c *Coeffs) Reset(rows, rank int) {
	c.values = grow(c.values, rows*rank)
	c.notes = grow(c.notes, rows)
	for i := range c.notes {
		c.notes[i] = nothing
	}
	c.rows, c.rank = rows, rank
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Row sets B[i, :].
func (c *Coeffs) Row(i int, row []float32) {
	dst, n := c.row(i)[:len(row)], &c.notes[i]
	copy(dst, row)
	n.addAll(row)
	if !n.finite() {
		for k, x := range dst {
			dst[k] = math.Float32frombits(canon(math.Float32bits(x)))
		}
	}
}

// Column sets B[:, k].
func (c *Coeffs) Column(k int, col []float32) {
	for i, x := range col {
		b := canon(math.Float32bits(x))
		c.notes[i].add(b)
		c.values[i*c.rank+k] = math.Float32frombits(b)
	}
}

func (c *Coeffs) row(i int) []float32 { return c.values[i*c.rank : (i+1)*c.rank] }
