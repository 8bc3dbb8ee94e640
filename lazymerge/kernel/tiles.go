package kernel

import "unsafe"

// A matrix unit multiplies in the pairwise order: 16 rows of B by 64 columns of A, which
// are a patch of the result, 32 k at a time. It reads both factors as pairs of bf16, an
// even k in the low half.
const (
	tileRows    = 16
	tilePairs   = step / 2
	mostPatches = stripCols / widest // in a call
	fewest      = 4                  // rows that are worth making pairs of A
	keptBytes   = 1 << 21            // of pairs of a whole A, that calls share
)

// matrix are the functions of a matrix unit.
type matrix struct {
	// pairLeft makes pairs of a row of B, which must be bf16: those of a step, filled up
	// with zeros, where the row of a tile is, and those of the next where the next tile
	// is.
	pairLeft func(dst *uint32, row *float32, rank int)
	// pairRight makes pairs of 64 columns of A, two panels: for each pair of k the
	// columns in the order of the panels. An odd rank ends in pairs with zeros.
	pairRight func(dst *uint32, left, right *float32, rank int)
	// kernels compute up to 16 rows of a call, whose a and b are pairs. They leave out
	// the rows of a patch with a result that is not finite, and note them.
	kernels [kinds]func(*call, *tiles)
}

// tiles is what these functions read beside a call, and where they work. The generator
// knows the offsets.
type tiles struct {
	config      [64]byte // for LDTILECFG
	rows        int
	turns       int // in which a patch is multiplied, and
	each        int // the rows of the one before that are finished in each
	last        int // bytes of A of the last step
	src, dst    uintptr
	read, write uintptr // places in sums
	count       int
	special     [mostPatches]uint32            // of each patch: bit rows-i stands for row i
	sums        [2*tileRows*widest*4 + 63]byte // of two patches, wherever a multiple of 64 begins

	edgeSrc, edgeDst [tileRows * widest * 4]byte // the last columns, made as wide as a patch

	left, leftRows []uint32 // pairs of B, and their memory
	right          paired   // pairs of A, for a strip or the whole
}

// byTiles computes the rows from top on that tiles are good for, and returns the first
// that it leaves: all or none. The rows [top,bottom) share their order.
func (r *strips) byTiles(top, bottom int) int {
	m, rank := r.shapes.matrix, r.A.Rank
	if m == nil || bottom-top < fewest || rank == 0 || rank > maxRank || r.order(top) != pairwise {
		return top
	}
	reach := r.reach(pairwise, top, bottom)
	if !reach.normal(0) { // the unit takes denormal numbers for zeros
		return top
	}
	if r.B.tiles == nil {
		r.B.tiles = new(tiles)
	}
	t := r.B.tiles
	by, rest := r.fold(reach)
	t.pairLeft(m, r.B.scaled(top, bottom, by), rank, top, bottom)
	r.B.work.call.scale = rest
	t.last = lastPairs(rank) * widest * 4
	size := (rank + 1) / 2 * widest // words of pairs of 64 columns
	keep := r.A.serial != 0 && 4*size*r.A.Cols/widest <= keptBytes
	if keep && t.right.kept != r.A.serial {
		t.pairRight(m, &r.A, 0, r.A.Cols)
		t.right.kept = r.A.serial
	}
	width := min(max(residentBytes/(4*size), 1)*widest, stripCols)
	for left := 0; left < r.A.Cols; left += width {
		right := min(left+width, r.A.Cols)
		from := left / widest * size
		if !keep {
			from = 0
			t.pairRight(m, &r.A, left, right)
		}
		pairs := t.right.words[from:]
		for i := top; i < bottom; i += tileRows {
			r.tileStrip(i, min(i+tileRows, bottom), left, right, t.left[(i-top)*tilePairs*steps(rank):], pairs)
		}
	}
	return bottom
}

func steps(rank int) int { return (rank + step - 1) / step }

// lastPairs is the number of pairs in the last step.
func lastPairs(rank int) int { return ((rank-1)%step + 2) / 2 }

// pairLeft makes pairs of the rows [top,bottom) of B, given a row after another.
func (t *tiles) pairLeft(m *matrix, values []float32, rank, top, bottom int) {
	block := steps(rank) * tileRows * tilePairs
	t.leftRows, t.left = lines(t.leftRows, (bottom-top+tileRows-1)/tileRows*block)
	for i := range bottom - top {
		dst := t.left[i/tileRows*block+i%tileRows*tilePairs:]
		m.pairLeft(&dst[0], &values[(top+i)*rank], rank)
	}
}

// pairRight makes pairs of the columns [left,right) of A, and of those that fill them
// up to whole patches.
func (t *tiles) pairRight(m *matrix, a *Factor, left, right int) {
	size := (a.Rank + 1) / 2 * widest
	n := (right - left + widest - 1) / widest
	t.right.reserve(n * size)
	for i := range n {
		j := left + i*widest
		m.pairRight(&t.right.words[i*size], &a.from(j)[0], &a.from(j + panel)[0], a.Rank)
	}
}

// tileStrip computes the rows [top,bottom), at most 16, and the columns [left,right).
func (r *strips) tileStrip(top, bottom, left, right int, b, a []uint32) {
	c := &r.B.work.call
	r.B.tiles.configure(bottom-top, r.A.Rank)
	c.a, c.b = unsafe.Pointer(&a[0]), unsafe.Pointer(&b[0])
	c.count = (right - left) / widest
	end := left + c.count*widest
	if c.count > 0 {
		c.dstRow, c.srcRow = r.A.Cols*r.out, r.A.Cols*r.size
		at := top*r.A.Cols + left
		c.dst, c.src = unsafe.Pointer(&r.dst[at*r.out]), unsafe.Pointer(&r.Src[at*r.size])
		r.tileRun(top, bottom, left, end)
	}
	if end < right {
		c.a = unsafe.Pointer(&a[(end-left)*((r.A.Rank+1)/2)])
		r.tileEdge(top, bottom, end, right)
	}
}

// tileRun runs assembly, and leaves to pure Go what that left out.
func (r *strips) tileRun(top, bottom, left, right int) {
	t, c := r.B.tiles, &r.B.work.call
	special := t.special[:c.count]
	clear(special)
	r.shapes.matrix.kernels[r.kind](c, t)
	for n, rows := range special {
		if rows == 0 {
			continue
		}
		j := left + n*widest
		for i := top; i < bottom; i++ {
			if rows>>(bottom-i)&1 == 1 {
				r.exact(i, i+1, j, min(j+widest, right))
			}
		}
	}
}

// tileEdge computes the last columns in memory as wide as a patch.
func (r *strips) tileEdge(top, bottom, left, right int) {
	t, c := r.B.tiles, &r.B.work.call
	c.dst, c.dstRow = unsafe.Pointer(&t.edgeDst), widest*r.out
	c.src, c.srcRow = unsafe.Pointer(&t.edgeSrc), widest*r.size
	c.count = 1
	n := right - left
	for i := top; i < bottom; i++ {
		at := i*r.A.Cols + left
		row := t.edgeSrc[(i-top)*c.srcRow:][:c.srcRow]
		clear(row[copy(row, r.Src[at*r.size:(at+n)*r.size]):])
	}
	r.tileRun(top, bottom, left, right)
	for i := top; i < bottom; i++ {
		if t.special[0]>>(bottom-i)&1 == 0 {
			at := i*r.A.Cols + left
			copy(r.dst[at*r.out:(at+n)*r.out], t.edgeDst[(i-top)*c.dstRow:])
		}
	}
}

// configure describes the tiles to LDTILECFG: four of sums, then B and A of a step, and
// B and A of the last, whose pairs may be fewer.
func (t *tiles) configure(rows, rank int) {
	pairs := lastPairs(rank)
	t.config = [64]byte{0: 1} // palette 1
	for i, shape := range [][2]int{
		{rows, 64}, {rows, 64}, {rows, 64}, {rows, 64},
		{rows, 64}, {tilePairs, 64}, {rows, 4 * pairs}, {pairs, 64},
	} {
		t.config[48+i] = byte(shape[0])
		t.config[16+2*i] = byte(shape[1])
	}
	t.rows = rows
	t.turns = steps(rank) - 1 + 4
	t.each = (rows + t.turns - 1) / t.turns
}
