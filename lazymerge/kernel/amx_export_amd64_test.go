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

// TileSums multiplies two tiles, or a row of them, as pairs of bf16, and returns the
// sums: left has a step after another of 16 rows by 16 pairs, right of 16 pairs by 64
// columns.
func TileSums(steps int, left, right []uint32) [tileRows][widest]uint32 {
	t, c := new(tiles), new(call)
	t.configure(tileRows, steps*step)
	t.last = tilePairs * widest * 4
	src, dst := make([]byte, tileRows*widest*4), make([]byte, tileRows*widest*4)
	_, _ = left[steps*tileRows*tilePairs-1], right[steps*tilePairs*widest-1]
	c.src, c.dst = unsafe.Pointer(&src[0]), unsafe.Pointer(&dst[0])
	c.a, c.b = unsafe.Pointer(&right[0]), unsafe.Pointer(&left[0])
	c.dstRow, c.srcRow, c.count, c.scale = widest*4, widest*4, 1, 1
	amxMatrix.kernels[kindF32](c, t)
	var sums [tileRows][widest]uint32
	at := t.read - uintptr(unsafe.Pointer(&t.sums))
	for i := range sums {
		for j := range sums[i] {
			sums[i][j] = le.Uint32(t.sums[int(at)+(i*widest+j)*4:])
		}
	}
	return sums
}

// Units of a matrix in TileSums.
const (
	TileRows  = tileRows
	TilePairs = tilePairs
	TileCols  = widest
)
