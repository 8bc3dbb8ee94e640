package kernel

// Coeffs is the left factor for a block of rows. The zero value is ready for Reset; a
// reused one keeps its memory.
type Coeffs struct {
	rows, rank int
	values     []pairB // a row after another
	grain      grain
}

// Reset makes c a block of rows×rank values, all of which must then be set.
func (c *Coeffs) Reset(rows, rank int) {
	if n := rows * pairs(rank); cap(c.values) < n {
		c.values = make([]pairB, n)
	} else {
		c.values = c.values[:n]
	}
	c.rows, c.rank, c.grain = rows, rank, newGrain()
	if rank%2 == 1 {
		for i := range rows {
			c.row(i)[rank/2][1] = 0
		}
	}
}

// Row sets B[i, :].
func (c *Coeffs) Row(i int, row []float32) {
	dst := c.row(i)
	for k, x := range row {
		dst[k/2][k%2] = c.grain.canon(x)
	}
}

// Column sets B[:, k].
func (c *Coeffs) Column(k int, col []float32) {
	for i, x := range col {
		c.row(i)[k/2][k%2] = c.grain.canon(x)
	}
}

func (c *Coeffs) row(i int) []pairB {
	n := pairs(c.rank)
	return c.values[i*n : (i+1)*n]
}
