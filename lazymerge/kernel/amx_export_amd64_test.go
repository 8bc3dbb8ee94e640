//go:build !purego

package kernel

import "unsafe"

// ForceAMX leaves the amx tier, without asking for its instructions and whatever comes
// out, and pure Go.
func ForceAMX() {
	amxAllowed = func() bool { return true }
	forced := amx()
	forced.Available = func() bool { return true }
	Tiers = []*Tier{forced, pureGo}
	Default = forced
}

// HasAMX tells whether processor and system have tiles, allowed or not.
func HasAMX() bool { return hasAMX() }

// TileSums multiplies two tiles with two, or rows of them, as pairs of bf16, and returns the
// sums: left has a step after another of two tiles of 16 rows by 16 pairs, right of two
// of 16 pairs by 16 columns.
func TileSums(steps int, left, right []uint32) (sums [2 * tileRows][2 * tileCols]uint32) {
	_, _ = left[2*steps*tileRows*tilePairs-1], right[2*steps*tilePairs*tileCols-1]
	const high, wide = 2 * tileRows, 2 * tileCols
	src, dst := make([]byte, high*wide*4), make([]byte, high*wide*4)
	b := &Coeffs{}
	r := &strips{Args: &Args{A: Factor{Rank: steps * step, Cols: wide}, B: b}, kind: kindF32}
	t := r.tiled(&amxMatrix)
	t.kernel = amxMatrix.square[kindF32] // of one step, too
	t.high = high
	t.configure(high)
	c := &b.work.call
	c.src, c.dst = unsafe.Pointer(&src[0]), unsafe.Pointer(&dst[0])
	c.a, c.b = unsafe.Pointer(&right[0]), unsafe.Pointer(&left[0])
	c.dstRow, c.srcRow, c.scale = wide*4, wide*4, 1
	t.list[0] = strip{count: 1}
	t.run(1)
	done := t.pair[(t.read-uintptr(unsafe.Pointer(&t.pair[0])))/4:]
	for i := range sums {
		for j := range sums[i] {
			sums[i][j] = done[j/tileCols*high*tileCols+i*tileCols+j%tileCols]
		}
	}
	return sums
}

// Units of a matrix in TileSums.
const (
	TileRows  = tileRows
	TilePairs = tilePairs
	TileCols  = tileCols
)
