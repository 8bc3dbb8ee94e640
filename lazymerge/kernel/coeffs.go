package kernel

import "math"

// Coeffs is the left factor for a block of rows. The zero value is ready for Reset; a
// reused one keeps its memory. It also holds what a call works with, and so serves one
// call at a time.
type Coeffs struct {
	rows, rank int
	values     []float32 // a row after another
	rough      []uint32  // of each row, what is not bf16 about its values
	pairs      []uint32  // of each row, values two by two as bf16; see pairUp
	tiles      *tiles    // of a matrix unit, once it was used
	work       work
}

// Reset makes c a block of rows×rank values, all of which must then be set.
func (c *Coeffs) Reset(rows, rank int) {
	c.values = grow(c.values, rows*rank)
	c.rough = grow(c.rough, rows)
	clear(c.rough)
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
	dst, rough := c.row(i)[:len(row)], uint32(0)
	for k, x := range row {
		b := canon(math.Float32bits(x))
		rough |= roughness(b)
		dst[k] = math.Float32frombits(b)
	}
	c.rough[i] |= rough
}

// Column sets B[:, k].
func (c *Coeffs) Column(k int, col []float32) {
	for i, x := range col {
		b := canon(math.Float32bits(x))
		c.rough[i] |= roughness(b)
		c.values[i*c.rank+k] = math.Float32frombits(b)
	}
}

// roughness is not zero for bits that are denormal or not those of a bf16.
func roughness(b uint32) uint32 {
	r := b & 0xffff
	if b<<1-1 < 1<<24-1 {
		r |= 1
	}
	return r
}

func (c *Coeffs) row(i int) []float32 { return c.values[i*c.rank : (i+1)*c.rank] }
