package kernel

import "unsafe"

// maxPanels of the packed factor stay in the first-level cache for rank 16.
const maxPanels = 128

func blockPanels(rank int) int {
	return min(max(2048/max(rank, 1), 16), maxPanels)
}

func addLowRank(a *Args) int { return a.run(nil) }

func sumRows(dst []float32, a *Args) { a.run(dst) }

// run computes the products of every row and block of columns, and puts W + d into
// sums or, where that is nil, the rounded sums into Dst. It returns the first row with
// a finite weight that did not stay finite, or -1.
func (a *Args) run(sums []float32) int {
	var acc [maxPanels][panel]float32
	f, how, bad := &a.A, choose(a.A.grain, a.B.grain), -1
	deep, all := pairs(f.Rank), panels(f.Cols)
	width := blockPanels(f.Rank)
	for p := 0; p < all; p += width {
		n := min(width, all-p)
		values := f.values[p*deep : (p+n)*deep]
		d := unsafe.Slice(&acc[0][0], min(n*panel, f.Cols-p*panel))
		for i := range a.B.rows {
			how.row(acc[:n], values, a.B.row(i))
			at := i*f.Cols + p*panel
			if sums != nil {
				a.sum(sums[at:at+len(d)], at, d)
			} else if !a.add(at, d) && (bad < 0 || i < bad) {
				bad = i
			}
		}
	}
	return bad
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
	Load(dst, a.Src[at*size:(at+len(d))*size], a.DType)
	for j, x := range d {
		dst[j] += float32(a.Scale * x)
	}
}

// AddScaled fills dst with src + by·delta, rounded once, and returns the first element
// that was finite and is no longer, or -1.
func AddScaled(dst, src []byte, delta []float32, by float32, t DType) int {
	size := t.Size()
	bad := -1
	for j := range delta {
		if !add(dst[j*size:(j+1)*size], src[j*size:(j+1)*size], delta[j:j+1], by, t) && bad < 0 {
			bad = j
		}
	}
	return bad
}
