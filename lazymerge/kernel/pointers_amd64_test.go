//go:build !purego

package kernel

import (
	"bytes"
	"testing"
	"unsafe"
)

// TestPointersStay: the garbage collector may look at a call at any time, so assembly
// must not leave a pointer behind the end of its memory.
func TestPointersStay(t *testing.T) {
	for _, set := range []struct {
		shapes  *shapes
		present bool
	}{{avx512Shapes.withQuad(), hasAVX512BF16}, {&avx512Shapes, hasAVX512}, {&avx2Shapes, hasAVX2}} {
		if !set.present {
			continue
		}
		s := *set.shapes
		for _, shape := range []*shape{&s.chain, &s.chainRow, &s.pair, &s.pairRow, &s.quad} {
			for i, f := range shape.kernels {
				shape.kernels[i] = func(c *call) int {
					before := [...]unsafe.Pointer{c.dst, c.src, c.a, c.b}
					n := f(c)
					if after := [...]unsafe.Pointer{c.dst, c.src, c.a, c.b}; before != after {
						t.Errorf("pointers moved from %v to %v", before, after)
					}
					return n
				}
			}
		}
		const rows, cols, rank = 7, 200, 9
		for _, value := range []float32{0.5, 0.3} { // of each order
			packed := make([]byte, PackSize(rank, cols))
			p := NewPacker(packed, rank, cols)
			var b Coeffs
			b.Reset(rows, rank)
			for j := range cols {
				p.Column(j, repeat(value, rank))
			}
			p.Finish()
			for i := range rows {
				b.Row(i, repeat(value, rank))
			}
			src := bytes.Repeat([]byte{0x10, 0x3c}, 2*rows*cols)
			for _, d := range []DType{BF16, F16, F32} {
				s.addLowRank(&Args{Dst: make([]byte, len(src)), Src: src, DType: d, A: View(packed, rank, cols), B: &b, Scale: 0.3})
			}
		}
	}
}

func repeat(x float32, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = x
	}
	return v
}
