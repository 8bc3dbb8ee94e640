package kernel

import "unsafe"

// A matrix unit multiplies tiles in the pairwise order, 32 k at a time: 16 rows of B by
// 16 columns of A, which are the even or the odd ones of a panel. It reads both factors
// as pairs of bf16, an even k in the low half. What four tiles of sums cover is a patch:
// a row of them where there are few steps, else a square.
const (
	tileRows  = 16
	tileCols  = 16
	tilePairs = step / 2

	fewest    = 4       // rows that are worth making pairs of A
	keptBytes = 1 << 21 // of pairs of a whole A, that calls share
	wideSteps = 4       // up to which patches are wide, and of A's pairs
	wideBytes = 1 << 20 // stay in the second-level cache for them

	// A call of assembly takes no more patches, fewer of several steps, and strips.
	mostPatches = 192
	mostStrips  = 32
)

// matrix are the functions of a matrix unit.
type matrix struct {
	// pairLeft makes pairs of a row of B times a power of two, which must be bf16: those
	// of a step, filled up with zeros, where the row of a tile is, and those of the next
	// where the next but one tile is.
	pairLeft func(dst *uint32, row *float32, rank int, by float32)
	// pairRight makes pairs of a panel of A: of each step a tile of the even and one of
	// the odd columns, with a row for each pair of k. Zeros fill up the last.
	pairRight func(dst *uint32, panel *float32, rank, pairs int)
	// wide and square compute up to 16 rows of 64 columns and up to 32 rows of 32
	// columns at a time. The a and b of a call are pairs. They leave out rows with a
	// result that is not finite, and note them.
	wide, square [kinds]func(*call, *tiles)
}

// tiles is what these functions read beside a call, and where they work. The generator
// knows the offsets.
type tiles struct {
	config      [64]byte // for LDTILECFG
	tall        int      // rows of the patches
	lower       int      // bytes from the sums of a square patch to those of its lower rows
	turns       int      // in which a patch is multiplied
	every       int      // turns, some rows of the patch before are finished
	tile, skip  int      // bytes of a tile of A, and of its panel
	remain      int      // patches to multiply
	read, write uintptr  // places in sums
	own         [8]int   // assembly's
	list        [mostStrips]strip
	special     [mostPatches]uint64 // of each patch: bit rows-i stands for row i

	pair             []uint32                          // sums of two patches
	edgeSrc, edgeDst [tileRows * 4 * tileCols * 4]byte // the last columns, made as wide as a patch

	count, lists   int      // patches and strips for the next call
	left, leftRows []uint32 // pairs of B, and their memory
	right          paired   // pairs of A, of all columns or some
}

// strip is a run of patches beside each other: where it begins, in bytes from those of
// the call, and their number.
type strip struct{ src, dst, a, b, count int }

// tiled computes rows by tiles.
type tiled struct {
	strips
	*tiles
	kernel     func(*call, *tiles)
	high, wide int // rows and columns of a patch
	group      int // words of the pairs of a patch's rows
	panel      int // words of the pairs of a panel
	part       int // columns of which the pairs stay in the second-level cache
}

// byTiles computes the rows from top on that tiles are good for, and returns the first
// that it leaves. The rows [top,bottom) share their order.
func (r *strips) byTiles(top, bottom int) int {
	m, rank := r.shapes.matrix, r.A.Rank
	if m == nil || bottom-top < fewest || rank == 0 || rank > maxRank || r.order(top) != pairwise {
		return top
	}
	reach := r.reach(pairwise, top, bottom)
	if !reach.normal(0) { // the unit takes denormal numbers for zeros
		return top
	}
	t := r.tiled(m)
	if t.high > tileRows && (bottom-top)%t.high == 1 {
		bottom-- // half of a square patch cannot be empty
	}
	var by float32
	by, r.B.work.call.scale = r.fold(reach)
	t.pairLeft(m, top, bottom, by)
	whole := bottom - (bottom-top)%t.high
	t.columns(m, func(left, right int) {
		t.area(top, top, whole, left, right)
		t.area(top, whole, bottom, left, right)
	})
	r.bad = t.bad
	return bottom
}

func (r *strips) tiled(m *matrix) tiled {
	if r.B.tiles == nil {
		r.B.tiles = new(tiles)
		_, r.B.tiles.pair = lines(nil, 2*4*tileRows*tileCols)
	}
	n := steps(r.A.Rank)
	t := tiled{strips: *r, tiles: r.B.tiles, kernel: m.wide[r.kind], high: tileRows, wide: 4 * tileCols}
	resident := wideBytes
	if n > wideSteps {
		t.kernel, t.high, t.wide = m.square[r.kind], 2*tileRows, 2*tileCols
		resident = residentBytes
	}
	t.group = n * 2 * tileRows * tilePairs
	t.panel = n * pairsOf(r.A.Rank) * panel
	t.part = max(resident/(4*t.panel)*panel/widest*widest, widest)
	return t
}

func steps(rank int) int { return (rank + step - 1) / step }

// pairsOf is the number of pairs of k in a tile: fewer than a step where that is all.
func pairsOf(rank int) int { return min((rank+1)/2, tilePairs) }

// upper is the number of a patch's rows that the first tile of B has.
func (t *tiled) upper(rows int) int {
	if t.high == tileRows {
		return rows
	}
	return (rows + 1) / 2
}

// pairLeft makes pairs of the rows [top,bottom) of B.
func (t *tiled) pairLeft(m *matrix, top, bottom int, by float32) {
	n := (bottom - top + t.high - 1) / t.high
	t.leftRows, t.left = lines(t.leftRows, n*t.group)
	for i := top; i < bottom; i += t.high {
		rows := min(t.high, bottom-i)
		upper := t.upper(rows)
		for q := range rows {
			at := q
			if q >= upper {
				at += tileRows - upper
			}
			m.pairLeft(&t.left[(i-top)/t.high*t.group+at*tilePairs], &t.B.values[(i+q)*t.A.Rank], t.A.Rank, by)
		}
	}
}

// columns calls do with parts of the columns, of which it has made pairs of A. Where
// those of all are not many, calls with the same factor share them.
func (t *tiled) columns(m *matrix, do func(left, right int)) {
	cols, width := t.A.Cols, t.A.Cols
	keep := t.A.serial != 0 && 4*t.panel*cols/panel <= keptBytes
	if !keep {
		width = t.part
	}
	for left := 0; left < cols; left += width {
		right := min(left+width, cols)
		if !keep || t.right.kept != t.A.serial {
			t.pairRight(m, left, right)
		}
		do(left, right)
	}
	if keep {
		t.right.kept = t.A.serial
	}
}

// pairRight makes pairs of the columns [left,right) of A, and of those that fill them
// up to a multiple of the widest patch.
func (t *tiled) pairRight(m *matrix, left, right int) {
	n := (right - left + widest - 1) / widest * widest / panel
	t.right.reserve(n * t.panel)
	for i := range n {
		m.pairRight(&t.right.words[i*t.panel], &t.A.from(left + i*panel)[0], t.A.Rank, pairsOf(t.A.Rank))
	}
}

// area computes the rows [top,bottom), patches of the same height, and the columns
// [left,right). The pairs of B begin with the row first, those of A with left.
func (t *tiled) area(first, top, bottom, left, right int) {
	if top == bottom {
		return
	}
	high := min(bottom-top, t.high)
	t.configure(high)
	c := &t.B.work.call
	c.dst, c.src = unsafe.Pointer(&t.strips.dst[0]), unsafe.Pointer(&t.Src[0])
	c.dstRow, c.srcRow = t.A.Cols*t.out, t.A.Cols*t.size
	c.a, c.b = unsafe.Pointer(&t.right.words[0]), unsafe.Pointer(&t.left[0])
	end := right - (right-left)%t.wide
	for from := left; from < end; from += t.part {
		n := (min(from+t.part, end) - from) / t.wide
		for i := top; i < bottom; i += high {
			t.strip(t.place(i-first, from-left), i*t.A.Cols+from, n)
		}
	}
	t.flush()
	for i := top; i < bottom && end < right; i += high {
		t.edge(t.place(i-first, end-left), i, i+high, end)
	}
}

// place is a strip with the pairs of rows and columns.
func (t *tiled) place(row, col int) strip {
	return strip{a: 4 * t.panel * (col / panel), b: 4 * t.group * (row / t.high)}
}

// strip adds n patches from the element at on to those for the next call.
func (t *tiled) strip(s strip, at, n int) {
	most := mostPatches * 3 / (2 + steps(t.A.Rank))
	for n > 0 {
		s.count = min(n, most-t.count)
		s.src, s.dst = at*t.size, at*t.out
		t.list[t.lists] = s
		t.lists++
		t.count += s.count
		if t.count == most || t.lists == mostStrips {
			t.flush()
		}
		n -= s.count
		at += s.count * t.wide
		s.a += s.count * t.wide / panel * 4 * t.panel
	}
}

// flush runs assembly, and leaves to pure Go what that leaves out.
func (t *tiled) flush() {
	if t.count == 0 {
		return
	}
	special := t.run(t.count)
	for _, s := range t.list[:t.lists] {
		for j := range s.count {
			if special[j] == 0 {
				continue
			}
			at := s.src/t.size + j*t.wide
			top, left := at/t.A.Cols, at%t.A.Cols
			for i := range t.tall {
				if special[j]>>(t.tall-i)&1 == 1 {
					t.exact(top+i, top+i+1, left, left+t.wide)
				}
			}
		}
		special = special[s.count:]
	}
	t.count, t.lists = 0, 0
}

// run runs assembly and returns what it notes of n patches.
func (t *tiled) run(n int) []uint64 {
	special := t.special[:n]
	clear(special)
	t.remain = n
	t.kernel(&t.B.work.call, t.tiles)
	return special
}

// edge computes the last columns, from left on, in memory as wide as a patch.
func (t *tiled) edge(s strip, top, bottom, left int) {
	c := &t.B.work.call
	c.dst, c.dstRow = unsafe.Pointer(&t.edgeDst), t.wide*t.out
	c.src, c.srcRow = unsafe.Pointer(&t.edgeSrc), t.wide*t.size
	for i := top; i < bottom; i++ {
		t.takeEdge(t.edgeSrc[(i-top)*c.srcRow:][:c.srcRow], i, left)
	}
	s.count = 1
	t.list[0] = s
	special := t.run(1)[0]
	for i := top; i < bottom; i++ {
		if special>>(bottom-i)&1 == 1 {
			t.exact(i, i+1, left, t.A.Cols)
			continue
		}
		t.giveEdge(t.edgeDst[(i-top)*c.dstRow:], i, left)
	}
}

// configure describes the tiles of patches to LDTILECFG: four of sums, of which those
// of the lower rows come last, and those of the factors.
func (t *tiled) configure(rows int) {
	pairs := pairsOf(t.A.Rank)
	upper := t.upper(rows)
	shapes := [8][2]int{{rows, 64}, {rows, 64}, {rows, 64}, {rows, 64}, {rows, 4 * pairs}, {pairs, 64}}
	if lower := rows - upper; lower > 0 {
		shapes = [8][2]int{
			{upper, 64}, {upper, 64}, {lower, 64}, {lower, 64},
			{upper, 4 * pairs}, {lower, 4 * pairs}, {pairs, 64}, {pairs, 64},
		}
	}
	t.config = [64]byte{0: 1} // palette 1
	for i, shape := range shapes {
		t.config[48+i] = byte(shape[0])
		t.config[16+2*i] = byte(shape[1])
	}
	t.tall, t.lower, t.tile, t.skip = rows, 64*upper, 64*pairs, 4*t.panel
	t.turns = steps(t.A.Rank) + 3
	t.every = t.turns / 4
	half := 4 * tileRows * tileCols
	t.read, t.write = uintptr(unsafe.Pointer(&t.pair[0])), uintptr(unsafe.Pointer(&t.pair[half]))
}
