package kernel_test

import (
	"math"
	"math/big"

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

// oracleFactor is a factor's value as packing defines it.
func oracleFactor(x float32) float32 {
	if math.Abs(float64(x)) < 0x1p-126 {
		return float32(math.Copysign(0, float64(x)))
	}
	return x
}

// oracleSum is acc of row i and column j.
func (c *testCase) oracleSum(i, j int) float32 {
	acc := float32(0)
	for from := 0; from < c.rank; from += 32 {
		var chain [2]float32
		for k := from; k < min(from+32, c.rank); k++ {
			a, b := oracleFactor(c.a[k*c.cols+j]), oracleFactor(c.b[i*c.rank+k])
			chain[k%2] = oracleFMA(b, a, chain[k%2])
		}
		pair := float32(chain[0] + chain[1])
		acc = float32(acc + pair)
	}
	return acc
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
