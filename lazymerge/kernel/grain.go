package kernel

import "math"

// step is the number of k that one accumulation step covers, panel the number of
// columns that the pure implementation keeps in registers.
const (
	step  = 32
	panel = 4
)

// Packed factors hold k in pairs, an even one and the odd one behind it. The odd half
// of an odd rank's last pair is zero: adding 0·0 to a chain changes no result.
type (
	pairA [2 * panel]float32
	pairB [2]float32
)

func pairs(rank int) int  { return (rank + 1) / 2 }
func panels(cols int) int { return (cols + panel - 1) / panel }

// grain describes a set of values: which mantissa bits they use, how small and how
// large they get. It decides whether products are exact.
type grain struct {
	mantissa uint32 // or of all mantissas
	least    uint32 // least biased exponent of the values that are not zero
	most     uint32 // greatest biased exponent
}

func newGrain() grain { return grain{least: 255} }

// canon is x as packed, noted in g.
func (g *grain) canon(x float32) float32 {
	b := math.Float32bits(x)
	switch e := b >> 23 & 0xff; {
	case e == 0:
		return math.Float32frombits(b & (1 << 31))
	case e == 255 && b&0x7fffff != 0:
		return math.Float32frombits(0x7fc00000)
	default:
		g.least, g.most = min(g.least, e), max(g.most, e)
		g.mantissa |= b & 0x7fffff
		return x
	}
}

// bits is the number of significant bits that the values need.
func (g grain) bits() int {
	n := 24
	for m := g.mantissa | 1<<23; m&1 == 0; m >>= 1 {
		n--
	}
	return n
}

// arithmetic is the cheapest chain that yields the defined result.
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
