package kernel

import "math"

// lanes is the number of columns that pure Go keeps in registers.
const lanes = 8

// sums computes A[:, lanes of a panel]·b: v holds the first column's values from k 0
// on, a k every panel values.
func (o order) sums(acc *[lanes]float32, how arithmetic, v, b []float32) {
	*acc = [lanes]float32{}
	run := o.run(len(b))
	for from := 0; from < len(b); from += run {
		end := min(from+run, len(b))
		var c, odd [lanes]float32
		if o == chain {
			how.chain(&c, v[from*panel:], b[from:end], 1)
			if from == 0 {
				*acc = c
				continue
			}
		} else {
			how.chain(&c, v[from*panel:], b[from:end], 2)
			if from+1 < end {
				how.chain(&odd, v[(from+1)*panel:], b[from+1:end], 2)
			}
			for j := range c {
				c[j] += odd[j]
			}
		}
		for j := range acc {
			acc[j] += c[j]
		}
	}
}

// chain adds products to c, which is zero: those of every by-th k.
func (how arithmetic) chain(c *[lanes]float32, v, b []float32, by int) {
	switch {
	case how == product:
		productChain(c, v, b, by)
	case how == fused && fusedChain(c, v, b, by):
	default:
		generalChain(c, v, b, by)
	}
}

// productChain holds where every product is exact. The conversions keep compilers
// from fusing.
func productChain(c *[lanes]float32, v, b []float32, by int) {
	var c0, c1, c2, c3, c4, c5, c6, c7 float32
	for k := 0; k < len(b); k += by {
		x, a := b[k], (*[lanes]float32)(v[k*panel:])
		c0 += float32(x * a[0])
		c1 += float32(x * a[1])
		c2 += float32(x * a[2])
		c3 += float32(x * a[3])
		c4 += float32(x * a[4])
		c5 += float32(x * a[5])
		c6 += float32(x * a[6])
		c7 += float32(x * a[7])
	}
	*c = [lanes]float32{c0, c1, c2, c3, c4, c5, c6, c7}
}

// fusedChain emulates fp32 fused multiply-adds: the fp64 product is exact, and
// rounding the sum to 53 and then to 24 bits goes wrong only where the first result
// lies halfway between two fp32 values. It gives up there, about once in 2^29 sums,
// and reports false.
func fusedChain(c *[lanes]float32, v, b []float32, by int) bool {
	for j := 0; j < lanes; j += 4 {
		var c0, c1, c2, c3 float32
		for k := 0; k < len(b); k += by {
			x, a := float64(b[k]), (*[4]float32)(v[k*panel+j:])
			s0 := float64(x*float64(a[0])) + float64(c0)
			s1 := float64(x*float64(a[1])) + float64(c1)
			s2 := float64(x*float64(a[2])) + float64(c2)
			s3 := float64(x*float64(a[3])) + float64(c3)
			if halfway(s0) || halfway(s1) || halfway(s2) || halfway(s3) {
				return false
			}
			c0, c1, c2, c3 = float32(s0), float32(s1), float32(s2), float32(s3)
		}
		c[j], c[j+1], c[j+2], c[j+3] = c0, c1, c2, c3
	}
	return true
}

func halfway(s float64) bool { return math.Float64bits(s)<<35 == 1<<63 }

// generalChain holds for all values.
func generalChain(c *[lanes]float32, v, b []float32, by int) {
	for j := range c {
		s := float32(0)
		for k := 0; k < len(b); k += by {
			s = fma(b[k], v[k*panel+j], s)
		}
		c[j] = s
	}
}

// fma is x·y + z rounded once. The fp64 sum is rounded to odd, which keeps what the
// rounding to fp32 needs to know.
func fma(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	t := s - p
	err := (p - (s - t)) + (c - t)
	bits := math.Float64bits(s)
	if bits&1 == 0 && (err < 0 || err > 0) {
		if (err > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}
