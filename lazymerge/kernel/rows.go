package kernel

// block is the number of columns that pure Go finishes at a time.
const block = 8 * panel

func addLowRank(a *Args) int { return a.area(nil, 0, a.B.rows, 0, a.A.Cols) }

func sumRows(dst []float32, a *Args) { a.area(dst, 0, a.B.rows, 0, a.A.Cols) }

// area computes the rows [top,bottom) and columns [left,right) in pure Go, and puts
// W + d into sums or, where that is nil, the rounded sums into Dst. left is a multiple
// of 16. It returns the first row with a finite weight that did not stay finite, or -1.
func (a *Args) area(sums []float32, top, bottom, left, right int) int {
	bad := -1
	how := choose(a.A.grain, grainOf(a.B.values[top*a.B.rank:bottom*a.B.rank]))
	for j := left; j < right; {
		end := min(j-j%panel+block, right)
		for i := top; i < bottom; i++ {
			var acc [block]float32
			d := acc[:end-j]
			a.products(d, how, i, j)
			at := i*a.A.Cols + j
			if sums != nil {
				a.sum(sums[at:at+len(d)], at, d)
			} else if !a.add(at, d) && (bad < 0 || i < bad) {
				bad = i
			}
		}
		j = end
	}
	return bad
}

// products fills d with row i of B·A from column j on, a multiple of 16.
func (a *Args) products(d []float32, how arithmetic, i, j int) {
	o, b := a.order(i), a.B.row(i)
	for len(d) > 0 {
		n := min(2*lanes, len(d))
		var even, odd [lanes]float32
		v := a.A.from(j)
		o.sums(&even, how, v, b)
		o.sums(&odd, how, v[panel/2:], b)
		for q := range n {
			if q%2 == 0 {
				d[q] = even[q/2]
			} else {
				d[q] = odd[q/2]
			}
		}
		d, j = d[n:], j+n
	}
}

// add finishes the elements from at on.
func (a *Args) add(at int, d []float32) bool {
	size, by := a.DType.Size(), a.Scale
	if a.Rounding == Twice {
		roundTo(d, by, a.DType)
		by = 1
	}
	lo, hi := at*size, (at+len(d))*size
	return add(a.Dst[lo:hi], a.Src[lo:hi], d, by, a.DType)
}

func (a *Args) sum(dst []float32, at int, d []float32) {
	size := a.DType.Size()
	load(dst, a.Src[at*size:(at+len(d))*size], a.DType)
	for j, x := range d {
		dst[j] += float32(a.Scale * x)
	}
}
