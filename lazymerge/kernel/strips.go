package kernel

import "unsafe"

// Of the packed factor, residentBytes stay in the second-level cache while the rows of
// a call pass by. That, stripCols, and single rows above maxRank bound the time in an
// assembly function.
const (
	residentBytes = 1 << 19
	stripCols     = 1 << 13
	maxRank       = 1 << 11
)

// quadRows is the number of rows of a tile of quads.
const quadRows = 4

// strips computes a call by assembly.
type strips struct {
	*Args
	shapes    *shapes
	kind      kind
	dst       []byte // of sums or of Dst
	sums      []float32
	size, out int // bytes of an element of Src and of dst
	bad       int

	// of the rows at hand
	quads  bool
	values []float32 // of B, or the same folded
	first  int       // column of the first pairs of A
}

func (s *shapes) addLowRank(a *Args) int { return s.run(a, a.Dst, nil) }

func (s *shapes) sumRows(dst []float32, a *Args) {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(dst))), 4*len(dst))
	s.run(a, bytes, dst)
}

func (s *shapes) run(a *Args, dst []byte, sums []float32) int {
	n := a.B.rows * a.A.Cols
	if n == 0 {
		return -1
	}
	r := strips{Args: a, shapes: s, kind: a.kind(sums != nil), sums: sums, size: a.DType.Size(), bad: -1}
	r.out = r.size
	if sums != nil {
		r.out = 4
	}
	r.dst = dst[:n*r.out]
	_ = a.Src[:n*r.size]
	for i := 0; i < a.B.rows; {
		next := i + a.alike(i)
		if left := r.byTiles(i, next); left < next {
			r.rows(left, next)
		}
		i = next
	}
	a.B.work.call = call{}
	return r.bad
}

// rows computes the rows [top,bottom), which share their order, a block of columns
// after another.
func (r *strips) rows(top, bottom int) {
	o := r.order(top)
	c := &r.B.work.call
	reach := r.reach(o, top, bottom)
	by, rest := r.fold(reach)
	c.run, c.signed, c.ahead = o.run(r.A.Rank), 0, 0
	if r.shapes.ahead {
		c.ahead = 1
	}
	if !reach.normal(0) {
		c.signed = 1
	}
	r.quads = o == pairwise && r.shapes.quad.rows > 0 && c.signed == 0 && r.A.Rank > 0
	if r.quads {
		r.pairLeft(top, bottom, by)
	} else {
		r.values = r.B.scaled(top, bottom, by)
	}
	c.scale = rest
	tile := r.shape(o, bottom-top).cols
	whole := r.A.Cols / tile * tile
	width := min(residentBytes/4/max(r.A.Rank, 1), stripCols) / widest * widest
	width = max(width, widest)
	for left := 0; left < whole; left += width {
		right := min(left+width, whole)
		r.prepare(left, right)
		r.each(o, top, bottom, func(s *shape, i, n int) { r.strip(s, i, n, left, right) })
	}
	if whole < r.A.Cols {
		r.prepare(whole, r.A.Cols)
		r.each(o, top, bottom, func(s *shape, i, n int) { r.edge(s, i, n, whole) })
	}
}

// each calls do with the tiles that cover rows: a shape and the number of its rows.
func (r *strips) each(o order, top, bottom int, do func(s *shape, i, n int)) {
	for i := top; i < bottom; {
		s := r.shape(o, bottom-i)
		n := s.rows
		if r.quads {
			n = min(quadRows, bottom-i)
		}
		do(s, i, n)
		i += n
	}
}

// shape is the tile for the next rows. All that an order has are of the same width.
func (r *strips) shape(o order, rows int) *shape {
	s, many, one := r.shapes, &r.shapes.chain, &r.shapes.chainRow
	if o == pairwise {
		many, one = &s.pair, &s.pairRow
	}
	switch {
	case r.quads:
		return &s.quad
	case rows < many.rows || r.A.Rank > maxRank:
		return one
	}
	return many
}

// strip computes tiles of n rows from row i, columns [left,right).
func (r *strips) strip(s *shape, i, n, left, right int) {
	c := &r.B.work.call
	c.dstRow, c.srcRow = r.A.Cols*r.out, r.A.Cols*r.size
	for j := left; j < right; {
		at := i*r.A.Cols + j
		c.dst = unsafe.Pointer(&r.dst[at*r.out])
		c.src = unsafe.Pointer(&r.Src[at*r.size])
		c.count, c.rows = (right-j)/s.cols, n
		j += r.tiles(s, i, j) * s.cols
		if j < right {
			r.exact(i+n-c.rows, i+n, j, j+s.cols)
			j += s.cols
		}
	}
}

// tiles runs assembly from row i and column j; c has what depends on Src and Dst.
func (r *strips) tiles(s *shape, i, j int) int {
	c := &r.B.work.call
	if r.quads {
		r.fromPairs(c, i, j)
	} else {
		r.fromPanels(c, s.cols, i, j)
	}
	return s.kernels[r.kind](c)
}

func (r *strips) fromPanels(c *call, cols, i, j int) {
	c.rank = r.A.Rank
	c.a = unsafe.Pointer(unsafe.SliceData(r.A.from(j)))
	c.b = unsafe.Pointer(unsafe.SliceData(r.values[i*r.A.Rank:]))
	c.next = cols / panel * panel * r.A.Rank * 4
	c.after = c.next
	if cols < panel { // two tiles a panel
		c.next = 4 * position(cols)
		c.after = 4*panel*r.A.Rank - c.next
		if j%panel != 0 {
			c.next, c.after = c.after, c.next
		}
	}
}

func (r *strips) fromPairs(c *call, i, j int) {
	n := 2 * quads(r.A.Rank) // pairs of a column
	c.rank = 2 * n
	c.a = unsafe.Pointer(&r.B.right.words[(j-r.first)*n])
	c.b = unsafe.Pointer(&r.B.left[i*n])
	c.next = 4 * panel * n
	c.after = c.next
}

// edge computes the last columns of n rows, from left on, in memory as wide as a tile.
func (r *strips) edge(s *shape, i, n, left int) {
	w := &r.B.work
	c := &w.call
	c.dst, c.dstRow = unsafe.Pointer(&w.dst), s.cols*r.out
	c.src, c.srcRow = unsafe.Pointer(&w.src), s.cols*r.size
	c.count, c.rows = 1, n
	for q := range n {
		r.takeEdge(w.src[q*c.srcRow:][:c.srcRow], i+q, left)
	}
	if r.tiles(s, i, left) == 0 {
		r.exact(i, i+n, left, r.A.Cols)
		return
	}
	for q := range n {
		r.giveEdge(w.dst[q*c.dstRow:], i+q, left)
	}
}

// takeEdge copies the last columns of a row of Src, and fills them up with zeros.
func (r *strips) takeEdge(row []byte, i, left int) {
	cols := r.A.Cols
	clear(row[copy(row, r.Src[(i*cols+left)*r.size:(i+1)*cols*r.size]):])
}

// giveEdge puts the results of the last columns where they belong.
func (r *strips) giveEdge(row []byte, i, left int) {
	cols := r.A.Cols
	copy(r.dst[(i*cols+left)*r.out:(i+1)*cols*r.out], row)
}

// exact leaves an area to pure Go.
func (r *strips) exact(top, bottom, left, right int) {
	bad := r.area(r.sums, top, bottom, left, right)
	if bad >= 0 && (r.bad < 0 || bad < r.bad) {
		r.bad = bad
	}
}
