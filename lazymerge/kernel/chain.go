package kernel

import "math"

// row fills acc with b·A for the panels in values.
func (how arithmetic) row(acc [][panel]float32, values []pairA, b []pairB) {
	for i := range acc {
		v := values[i*len(b) : (i+1)*len(b)]
		switch {
		case how == product:
			productPanel(&acc[i], v, b)
		case how == fused && fusedPanel(&acc[i], v, b):
		default:
			generalPanel(&acc[i], v, b)
		}
	}
}

// productPanel holds where every product is exact. The conversions keep compilers
// from fusing. The second bounds check, which the compiler cannot prove away, parts the
// loop into two blocks whose values fit the registers: 1.25 times as fast at rank 64.
func productPanel(c *[panel]float32, v []pairA, b []pairB) {
	var c0, c1, c2, c3 float32
	for from := 0; from < len(b); from += step / 2 {
		bs := b[from:min(from+step/2, len(b))]
		vs := v[from:][:len(bs)]
		var e0, e1, e2, e3, o0, o1, o2, o3 float32
		for i := range bs {
			a := &vs[i]
			x := bs[i][0]
			e0 += float32(x * a[0])
			e1 += float32(x * a[1])
			e2 += float32(x * a[2])
			e3 += float32(x * a[3])
			y := b[from+i][1]
			o0 += float32(y * a[4])
			o1 += float32(y * a[5])
			o2 += float32(y * a[6])
			o3 += float32(y * a[7])
		}
		c0 += e0 + o0
		c1 += e1 + o1
		c2 += e2 + o2
		c3 += e3 + o3
	}
	c[0], c[1], c[2], c[3] = c0, c1, c2, c3
}

// fusedPanel emulates fp32 fused multiply-adds: the fp64 product is exact, and
// rounding the sum to 53 and then to 24 bits goes wrong only where the first result
// lies halfway between two fp32 values. It gives up there, about once in 2^29 sums,
// and reports false.
func fusedPanel(c *[panel]float32, v []pairA, b []pairB) bool {
	var c0, c1, c2, c3 float32
	for len(b) > 0 {
		n := min(step/2, len(b))
		vs, bs := v[:n], b[:n]
		v, b = v[n:], b[n:]
		var e0, e1, e2, e3, o0, o1, o2, o3 float32
		for i := range bs {
			a := &vs[i]
			x, y := float64(bs[i][0]), float64(bs[i][1])
			s0 := float64(x*float64(a[0])) + float64(e0)
			s1 := float64(x*float64(a[1])) + float64(e1)
			s2 := float64(x*float64(a[2])) + float64(e2)
			s3 := float64(x*float64(a[3])) + float64(e3)
			if halfway(s0) || halfway(s1) || halfway(s2) || halfway(s3) {
				return false
			}
			e0, e1, e2, e3 = float32(s0), float32(s1), float32(s2), float32(s3)
			s0 = float64(y*float64(a[4])) + float64(o0)
			s1 = float64(y*float64(a[5])) + float64(o1)
			s2 = float64(y*float64(a[6])) + float64(o2)
			s3 = float64(y*float64(a[7])) + float64(o3)
			if halfway(s0) || halfway(s1) || halfway(s2) || halfway(s3) {
				return false
			}
			o0, o1, o2, o3 = float32(s0), float32(s1), float32(s2), float32(s3)
		}
		c0 += e0 + o0
		c1 += e1 + o1
		c2 += e2 + o2
		c3 += e3 + o3
	}
	c[0], c[1], c[2], c[3] = c0, c1, c2, c3
	return true
}

func halfway(s float64) bool { return math.Float64bits(s)<<35 == 1<<63 }

// generalPanel holds for all values.
func generalPanel(c *[panel]float32, v []pairA, b []pairB) {
	*c = [panel]float32{}
	for len(b) > 0 {
		n := min(step/2, len(b))
		for j := range c {
			var e, o float32
			for i := range n {
				e = fma(b[i][0], v[i][j], e)
				o = fma(b[i][1], v[i][panel+j], o)
			}
			c[j] += e + o
		}
		v, b = v[n:], b[n:]
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
