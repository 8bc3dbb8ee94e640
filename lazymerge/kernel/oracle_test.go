package kernel_test

import (
	"math"
	"math/big"
	"slices"

	"lorafs/lazymerge/kernel"
)

// The oracle computes the defined arithmetic one element at a time in big.Float, and
// shares no code with the package.

// oracleFMA is x·y + z rounded once.
func oracleFMA(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	if special(x) || special(y) || special(z) || p+float64(z) == 0 {
		return float32(p + float64(z))
	}
	exact := func(v float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(v)) }
	sum := new(big.Float).SetPrec(2000).Mul(exact(x), exact(y))
	sum.Add(sum, exact(z))
	out, _ := sum.Float32()
	return out
}

func special(x float32) bool { return x-x != 0 }

// brainValued tells whether x is a bf16, and not denormal.
func brainValued(x float32) bool {
	return x != x || x == 0 || math.Float32bits(x)&0xffff == 0 && math.Abs(float64(x)) >= 0x1p-126
}

// oracleSum is acc of row i and column j.
func (c *testCase) oracleSum(i, j int) float32 {
	b := c.b[i*c.rank : (i+1)*c.rank]
	chain := func(from, to, by int) float32 {
		s := float32(0)
		for k := from; k < to; k += by {
			s = oracleFMA(b[k], c.a[k*c.cols+j], s)
		}
		return s
	}
	if c.brainA() && !slices.ContainsFunc(b, func(x float32) bool { return !brainValued(x) }) {
		acc := float32(0)
		for from := 0; from < c.rank; from += 32 {
			to := min(from+32, c.rank)
			pair := float32(chain(from, to, 2) + chain(from+1, to, 2))
			acc = float32(acc + pair)
		}
		return acc
	}
	half := (c.rank + 1) / 2
	switch {
	case c.rank <= 192:
		return chain(0, c.rank, 1)
	case c.rank <= 384:
		return float32(chain(0, half, 1) + chain(half, c.rank, 1))
	}
	acc := chain(0, 192, 1)
	for from := 192; from < c.rank; from += 192 {
		acc = float32(acc + chain(from, min(from+192, c.rank), 1))
	}
	return acc
}

func (c *testCase) brainA() bool {
	return !slices.ContainsFunc(c.a, func(x float32) bool { return !brainValued(x) })
}

// oracleRound rounds to the nearest value of d, to even in a tie.
func oracleRound(x float32, d kernel.DType) float64 {
	v := float64(x)
	if d == kernel.F32 || special(x) || x == 0 {
		return v
	}
	bits, least, most := 8, -126, math.Ldexp(255, 120)
	if d == kernel.F16 {
		bits, least, most = 11, -14, 65504
	}
	_, e := math.Frexp(v)
	ulp := max(e-1, least) - (bits - 1)
	v = math.Ldexp(math.RoundToEven(math.Ldexp(v, -ulp)), ulp)
	if math.Abs(v) > most {
		return math.Inf(int(math.Copysign(1, v)))
	}
	return math.Copysign(v, float64(x))
}

// oracle is element (i,j) of the result.
func (c *testCase) oracle(i, j int, r kernel.Rounding) float64 {
	d := float32(c.scale * c.oracleSum(i, j))
	if r == kernel.Twice {
		d = float32(oracleRound(d, c.dtype))
	}
	s := float32(float32(at(c.src, i*c.cols+j, c.dtype)) + d)
	return oracleRound(s, c.dtype)
}

// same tells whether two values are the same bits, any NaN being the same as another.
func same(x, y float64) bool {
	return math.Float64bits(x) == math.Float64bits(y) || x != x && y != y
}
