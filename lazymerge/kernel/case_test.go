package kernel_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"unsafe"

	"lorafs/lazymerge/kernel"
)

// testCase holds the operands of one product, unpacked.
type testCase struct {
	rows, cols, rank int
	dtype            kernel.DType
	a, b             []float32
	src              []byte
	scale            float32
	packed           []byte
	coeffs           kernel.Coeffs
}

// newCase draws operands; mask says which bits of a factor's values may be set.
func newCase(r *rand.Rand, rows, cols, rank int, d kernel.DType, mask uint32) *testCase {
	c := &testCase{rows: rows, cols: cols, rank: rank, dtype: d, scale: 0.3}
	draw := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = math.Float32frombits(math.Float32bits(float32(r.NormFloat64()*0.1)) & mask)
		}
		return v
	}
	c.a, c.b = draw(rank*cols), draw(rows*rank)
	weights := draw(rows * cols)
	c.src = make([]byte, rows*cols*d.Size())
	kernel.Store(c.src, weights, d)
	c.pack()
	return c
}

func (c *testCase) pack() {
	c.packed = aligned(int(kernel.PackSize(c.rank, c.cols)))
	p := kernel.NewPacker(c.packed, c.rank, c.cols)
	for k := range c.rank {
		p.Row(k, 0, c.a[k*c.cols:(k+1)*c.cols])
	}
	p.Finish()
}

// fill sets args to the rows [i,i+n) of Src.
func (c *testCase) fill(args *kernel.Args, i, n int) {
	row := c.cols * c.dtype.Size()
	c.coeffs.Reset(n, c.rank)
	for j := range n {
		c.coeffs.Row(j, c.b[(i+j)*c.rank:(i+j+1)*c.rank])
	}
	args.Src = c.src[i*row : (i+n)*row]
}

func (c *testCase) args() kernel.Args {
	args := kernel.Args{
		Dst: make([]byte, len(c.src)), DType: c.dtype, Scale: c.scale,
		A: kernel.View(c.packed, c.rank, c.cols), B: &c.coeffs,
	}
	c.fill(&args, 0, c.rows)
	return args
}

// aligned returns n bytes at a multiple of 64.
func aligned(n int) []byte {
	b := make([]byte, n+64)
	off := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & 63
	return b[off : off+n : off+n]
}

// at is element i of b, widened by the plainest of means.
func at(b []byte, i int, d kernel.DType) float64 {
	switch d {
	case kernel.F32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	case kernel.BF16:
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16))
	default:
		return half(binary.LittleEndian.Uint16(b[2*i:]))
	}
}

func half(h uint16) float64 {
	m, e := float64(h&0x3ff), int(h>>10&31)
	x := math.Ldexp(m, -24)
	switch {
	case e == 31 && m != 0:
		return math.NaN()
	case e == 31:
		x = math.Inf(1)
	case e > 0:
		x = math.Ldexp(m+1024, e-25)
	}
	if h>>15 == 1 {
		return -x
	}
	return x
}
