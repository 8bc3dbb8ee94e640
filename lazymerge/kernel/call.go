package kernel

import "unsafe"

// call is what an assembly function reads: a strip of tiles side by side. The
// generator knows the offsets.
type call struct {
	dst, src, a, b unsafe.Pointer
	rank           int
	count          int // tiles
	dstRow, srcRow int // bytes from a row to the next
	run            int // k added up by themselves
	next, after    int // bytes of A to the next tile, and from there to the one after it
	signed         int // not 0: sums may be -0, which counts as +0
	rows           int // of a tile of quads; of which those are left that were not done
	left           int // tiles of quads that are not done, and where the next one is
	srcAt, dstAt   int // from src and dst: a pointer must not leave its memory
	ahead          int // not 0: fetch the next rows
	scale          float32
	park           [24 * 16]float32 // sums of the runs before
}

// work is the memory of a call.
type work struct {
	call     call
	dst, src [6 * widest * 4]byte // the last columns, made as wide as a tile
}

// kind says what Src and Dst hold and how often sums are rounded.
type kind uint8

const (
	kindBF16 kind = iota
	kindBF16Twice
	kindF16
	kindF16Twice
	kindF32
	kindBF16Sum
	kindF16Sum
	kinds
)

func (a *Args) kind(sums bool) kind {
	switch {
	case a.DType == F32:
		return kindF32 // there is nothing to round
	case a.DType == BF16 && sums:
		return kindBF16Sum
	case sums:
		return kindF16Sum
	case a.DType == BF16:
		return kindBF16 + kind(a.Rounding)
	default:
		return kindF16 + kind(a.Rounding)
	}
}

// shape is a tile and the functions that compute strips of it. They return the number
// of tiles done; the next one then has a result that is not finite, and is untouched.
type shape struct {
	rows, cols int
	kernels    [kinds]func(*call) int
}

// shapes are those of an instruction set: for several rows and for one. A set that has
// quads takes them in the pairwise order where it can, and before that its matrix unit;
// quads need factors that pairLeft and pairRight have made pairs of.
type shapes struct {
	chain, chainRow, pair, pairRow, quad shape
	pairLeft, pairRight                  func(*call)
	matrix                               *matrix
	ahead                                bool // fetch rows: the processor does not by itself
}
