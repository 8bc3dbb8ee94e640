package main

import "fmt"

// avx512bf16 has the pairwise order by VDPBF16PS, which adds the products of two bf16
// pairs one after the other: that of the high halves, then that of the low ones. A pair
// of k and k+2 so continues the chain of its parity. The instruction takes denormal
// numbers for zeros; callers see to it that there are none.
type avx512bf16 struct{ avx512 }

func (avx512bf16) name() string    { return "avx512bf16" }
func (avx512bf16) shapes() []shape { return []shape{{"Quad", 6, 1}} }

func (avx512bf16) data(e *emitter) { avx512{}.data(e) }

// quads computes the sums of a tile, four k at a time. B holds two pairs for them: of
// the even k and of the odd ones.
func (f *function) quads() {
	f.op("SHRQ $1, R10")
	f.label("tile")
	f.op("MOVQ R15, AX")
	f.op("MOVQ %d(DI), R8", callB)
	f.op("LEAQ (R10)(R10*2), R9")
	f.op("ADDQ R8, R9")
	f.op("MOVQ %d(DI), R14", callRank)
	f.label("run")
	f.zero()
	f.op("MOVQ %d(DI), CX", callRun)
	f.op("CMPQ R14, CX")
	f.op("CMOVQLT R14, CX")
	f.op("SUBQ CX, R14")
	f.label("loop")
	for _, odd := range []bool{false, true} {
		f.quad(odd)
	}
	f.op("ADDQ $%d, AX", 4*panelBytes)
	f.op("ADDQ $8, R8")
	f.op("ADDQ $8, R9")
	f.op("SUBQ $4, CX")
	f.op("JGT loop")
	f.park()
}

// quad adds the products of two k of a parity.
func (f *function) quad(odd bool) {
	first, k, pair := f.temporaries(), 0, 0
	if odd {
		first, k, pair = first+2, 1, 4
	}
	for v := range f.shape.vectors() {
		r := f.set.reg(first + v)
		f.op("VPSRLD $16, %d(AX), %s", (k+2)*panelBytes+v*64, r)
		f.op("VPORD %d(AX), %s, %s", k*panelBytes+v*64, r, r)
	}
	for row := range f.shape.rows {
		f.op("VPBROADCASTD %d%s, Z28", pair, address("R8", "R9", "R10", row))
		for v := range f.shape.vectors() {
			sum := row*f.shape.vectors() + v
			if odd {
				sum += f.shape.sums()
			}
			f.op("%s // VDPBF16PS Z%d, Z28, Z%d", bytesOf(vdpbf16ps(sum, 28, first+v)), first+v, sum)
		}
	}
}

// vdpbf16ps encodes VDPBF16PS zmm: sum += x·y for pairs.
func vdpbf16ps(sum, x, y int) [6]byte {
	not := func(n, bit, to int) byte { return byte(^n>>bit&1) << to }
	return [6]byte{
		0x62,
		not(sum, 3, 7) | not(y, 4, 6) | not(y, 3, 5) | not(sum, 4, 4) | 2,
		byte(^x&15)<<3 | 4 | 2,
		0x40 | not(x, 4, 3),
		0x52,
		0xc0 | byte(sum&7)<<3 | byte(y&7),
	}
}

func bytesOf(b [6]byte) string {
	s := ""
	for i, x := range b {
		if i > 0 {
			s += "; "
		}
		s += fmt.Sprintf("BYTE $%#02x", x)
	}
	return s
}
