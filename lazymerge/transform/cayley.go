package transform

import (
	"context"
	"math"
)

// cayley sets r to (I+Q)(I−Q)⁻¹ of a skew-symmetric n×n matrix, all of whose values
// are finite: I−Q then has an inverse. q is overwritten. It fails only when ctx ends. Since the two factors
// commute, r solves (I−Q)·r = I+Q; Gauss' elimination with pivots, in fp64.
func cayley(ctx context.Context, r, q []float64, n int) error {
	for i := range n {
		for j := range n {
			r[i*n+j] = q[i*n+j]
			q[i*n+j] = -q[i*n+j]
		}
		r[i*n+i]++
		q[i*n+i]++
	}
	for c := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		pivot := c
		for i := c + 1; i < n; i++ {
			if math.Abs(q[i*n+c]) > math.Abs(q[pivot*n+c]) {
				pivot = i
			}
		}
		if pivot != c {
			swapRows(q, c, pivot, n)
			swapRows(r, c, pivot, n)
		}
		for i := range n {
			f := q[i*n+c] / q[c*n+c]
			if i == c || f == 0 {
				continue
			}
			subtractRow(q, i, c, n, f)
			subtractRow(r, i, c, n, f)
		}
	}
	for i := range n {
		for j := range n {
			r[i*n+j] /= q[i*n+i]
		}
	}
	return nil
}

func swapRows(m []float64, a, b, n int) {
	for j := range n {
		m[a*n+j], m[b*n+j] = m[b*n+j], m[a*n+j]
	}
}

func subtractRow(m []float64, from, row, n int, f float64) {
	for j := range n {
		m[from*n+j] -= f * m[row*n+j]
	}
}
