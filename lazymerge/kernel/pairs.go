package kernel

import "math"

// pairUp fills B's pairs for the rows [top,bottom), all of them bf16: of four values in
// a row the first and third, then the second and fourth, the earlier one in the high
// half. It reports whether quads give the defined result: the rank is a multiple of
// four, and no sum can be denormal, because all products are multiples of 2^-126.
func (a *Args) pairUp(top, bottom int) bool {
	b := a.B
	if b.rank%4 != 0 || b.rank == 0 {
		return false
	}
	b.pairs = grow(b.pairs, b.rows*b.rank/2)
	least := uint32(math.MaxUint32)
	for i := top; i < bottom; i++ {
		least = min(least, pairRow(b.pairs[i*b.rank/2:(i+1)*b.rank/2], b.row(i)))
	}
	const bias, fraction = 127, 7
	return a.A.grain.least+least>>24 >= 2*bias+2*fraction-126
}

// pairRow returns the least of the values that are not zero, less one, without signs
// and shifted to the left.
func pairRow(dst []uint32, row []float32) uint32 {
	least := uint32(math.MaxUint32)
	for len(row) >= 4 && len(dst) >= 2 {
		k0, k1 := math.Float32bits(row[0]), math.Float32bits(row[1])
		k2, k3 := math.Float32bits(row[2]), math.Float32bits(row[3])
		least = min(least, k0<<1-1, k1<<1-1, k2<<1-1, k3<<1-1) // zeros become the greatest
		dst[0], dst[1] = k0|k2>>16, k1|k3>>16
		row, dst = row[4:], dst[2:]
	}
	return least
}
