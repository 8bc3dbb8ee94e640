package kernel

import "math"

const canonicalNaN = 0x7fc00000

// canon makes the bits of a NaN canonical.
func canon(b uint32) uint32 {
	if b&0x7fffffff > 0x7f800000 {
		return canonicalNaN
	}
	return b
}

// grain describes a set of values: which mantissa bits they use, how small and how
// large they get. It decides whether products are exact.
type grain struct {
	mantissa uint32 // or of all mantissas; a denormal uses all bits
	least    uint32 // least biased exponent of the values that are not zero
	most     uint32 // greatest biased exponent
}

func newGrain() grain { return grain{least: 255} }

// note takes canonical bits into account.
func (g *grain) note(b uint32) {
	switch e := b >> 23 & 0xff; {
	case e == 255 || b<<1 == 0:
	case e == 0:
		g.least, g.most = 1, max(g.most, 1)
		g.mantissa |= 1
	default:
		g.least, g.most = min(g.least, e), max(g.most, e)
		g.mantissa |= b & 0x7fffff
	}
}

// brain tells whether all values are bf16, and none is denormal.
func (g grain) brain() bool { return g.mantissa&0xffff == 0 }

// bits is the number of significant bits that the values need.
func (g grain) bits() int {
	n := 24
	for m := g.mantissa | 1<<23; m&1 == 0; m >>= 1 {
		n--
	}
	return n
}

func grainOf(values []float32) grain {
	g := newGrain()
	for _, x := range values {
		g.note(math.Float32bits(x))
	}
	return g
}

// arithmetic is the cheapest way of pure Go to the defined result.
type arithmetic uint8

const (
	product arithmetic = iota // every product is exact in fp32: multiply, then add
	fused                     // every sum below the normal range is exact
	general
)

func choose(a, b grain) arithmetic {
	if a.least == 255 || b.least == 255 {
		return product // one factor holds only zeros and non-finite values
	}
	// Every product is a multiple of 2^low(bits); multiples of 2^-149 are never cut off
	// at the lower end of fp32.
	const bias = 127
	low := func(bits int) int { return int(a.least+b.least) - 2*bias - (bits - 2) }
	n := a.bits() + b.bits()
	if n <= 24 && low(n) >= -149 && a.most+b.most < 3*bias {
		return product
	}
	if low(48) >= -149 {
		return fused
	}
	return general
}
