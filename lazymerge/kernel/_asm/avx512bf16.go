package main

import "fmt"

// avx512bf16 has the pairwise order by VDPBF16PS, which adds the products of two bf16
// pairs one after the other: that of the high halves, then that of the low ones. A pair
// of k and k+2 so continues the chain of its parity. The instruction takes denormal
// numbers for zeros; callers see to it that there are none.
type avx512bf16 struct{ avx512 }

func (avx512bf16) name() string    { return "avx512bf16" }
func (avx512bf16) shapes() []shape { return []shape{{"Quad", 4, 1}} }

func (avx512bf16) data(e *emitter) {
	avx512{}.data(e)
	// The 64-bit words to take of a register for pairs: the first of every two.
	e.words("avx512bf16firsts", 0, 0, 2, 0, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// pairBytes is what four k of a panel take as pairs: for each parity of k the even
// columns, then the odd ones.
const pairBytes = 256

// routines prints what pairs up the factors.
func (s avx512bf16) routines(e, decl *emitter) {
	left := &function{emitter: e, set: s}
	left.begin("avx512bf16PairLeft", decl)
	left.pairLeft()
	right := &function{emitter: e, set: s}
	right.begin("avx512bf16PairRight", decl)
	right.pairRight()
}

// begin begins a function without a result.
func (f *function) begin(name string, decl *emitter) {
	fmt.Fprintf(decl, "\n//go:noescape\nfunc %s(c *call)\n", name)
	fmt.Fprintf(f, "// func %s(c *call)\nTEXT ·%s(SB), NOSPLIT, $0-8\n", name, name)
	f.op("MOVQ c+0(FP), DI")
	f.op("MOVQ %d(DI), AX", callA)
	f.op("MOVQ %d(DI), DX", callDst)
	f.op("MOVQ %d(DI), R13", callCount)
}

// pairLeft prints what pairs up rows of the left factor, times the scale, 16 k at a
// time. Of an incomplete quad the missing values are zeros.
func (f *function) pairLeft() {
	f.op("VBROADCASTSS %d(DI), Z29", callScale)
	f.op("VMOVDQU64 avx512bf16firsts<>(SB), Z30")
	f.label("row")
	f.op("MOVQ %d(DI), CX", callRank)
	f.op("SUBQ $16, CX")
	f.op("JLT rest")
	f.label("loop")
	f.op("VMULPS (AX), Z29, Z0")
	f.pairValues()
	f.op("VMOVDQU Y1, (DX)")
	f.op("ADDQ $64, AX")
	f.op("ADDQ $32, DX")
	f.op("SUBQ $16, CX")
	f.op("JGE loop")
	f.label("rest")
	f.op("ADDQ $16, CX")
	f.op("JZ next")
	f.mask("CX", "K1")
	f.op("VMOVUPS.Z (AX), K1, Z0")
	f.op("VMULPS Z0, Z29, Z0")
	f.pairValues()
	f.op("LEAQ (AX)(CX*4), AX")
	f.op("ADDQ $3, CX")
	f.op("SHRQ $2, CX")
	f.op("LEAQ (DX)(CX*8), R8")
	f.mask("CX", "K1")
	f.op("VMOVDQU64 Z1, K1, (DX)")
	f.op("MOVQ R8, DX")
	f.label("next")
	f.op("DECQ R13")
	f.op("JNZ row")
	f.op("VZEROUPPER")
	f.op("RET")
	f.WriteString("\n")
}

// pairValues makes pairs of the values in Z0: Y1 holds them.
func (f *function) pairValues() {
	f.op("VPSRLD $16, Z0, Z1")
	f.op("VPSHUFD $0xee, Z1, Z1")
	f.op("VPORD Z0, Z1, Z1")
	f.op("VPERMQ Z1, Z30, Z1")
}

// mask sets as many bits of k as the register n says, and changes BX.
func (f *function) mask(n, k string) {
	f.op("MOVQ $-1, BX")
	f.op("SHLQ %s, BX", n)
	f.op("NOTQ BX")
	f.op("KMOVQ BX, %s", k)
}

// pairRight prints what pairs up panels of the right factor. Of up to three k at the
// end it takes the missing ones for zeros.
func (f *function) pairRight() {
	f.label("panel")
	f.op("MOVQ %d(DI), CX", callRank)
	f.op("SUBQ $4, CX")
	f.op("JLT rest")
	f.label("loop")
	f.pairs(4)
	f.op("SUBQ $4, CX")
	f.op("JGE loop")
	f.label("rest")
	for missing := 3; missing > 0; missing-- {
		f.op("CMPQ CX, $%d", -missing)
		f.op("JEQ rest%d", 4-missing)
	}
	f.label("next")
	f.op("DECQ R13")
	f.op("JNZ panel")
	f.op("VZEROUPPER")
	f.op("RET")
	for n := 1; n < 4; n++ {
		f.label(fmt.Sprintf("rest%d", n))
		f.pairs(n)
		f.op("JMP next")
	}
	f.WriteString("\n")
}

// pairs makes pairs of n k.
func (f *function) pairs(n int) {
	for parity := range 2 {
		for v := range 2 {
			from := func(k int) string { return fmt.Sprintf("%d(AX)", k*panelBytes+v*64) }
			switch {
			case parity+2 < n:
				f.op("VPSRLD $16, %s, Z0", from(parity+2))
				f.op("VPORD %s, Z0, Z0", from(parity))
			case parity < n:
				f.op("VMOVDQU64 %s, Z0", from(parity))
			default:
				f.op("VPXORD Z0, Z0, Z0")
			}
			f.op("VMOVDQU64 Z0, %d(DX)", parity*pairBytes/2+v*64)
		}
	}
	f.op("ADDQ $%d, AX", n*panelBytes)
	f.op("ADDQ $%d, DX", pairBytes)
}

// whole prints a function: for four rows, or for fewer one by one.
func (s avx512bf16) whole(f *function, name string) {
	fmt.Fprintf(f, "// func %s(c *call) int\nTEXT ·%s(SB), NOSPLIT, $0-16\n", name, name)
	f.op("MOVQ c+0(FP), DI")
	f.op("MOVQ %d(DI), R11", callSrcRow)
	f.op("MOVQ %d(DI), R12", callDstRow)
	f.op("MOVQ %d(DI), R10", callRank)
	f.op("SHLQ $1, R10")
	f.op("MOVQ %d(DI), AX", callCount)
	f.op("MOVQ AX, %d(DI)", callLeft)
	s.persist(f)
	f.op("CMPQ %d(DI), $%d", callRows, f.shape.rows)
	f.op("JEQ four")
	some := *f
	some.shape.rows = 1
	s.some(&some)
	f.label("return")
	f.op("VZEROUPPER")
	f.op("MOVQ %d(DI), AX", callCount)
	f.op("SUBQ %d(DI), AX", callLeft)
	f.op("MOVQ AX, ret+%d(FP)", resultBytes)
	f.op("RET")
	s.four(f)
	f.WriteString("\n")
}

// some goes through the rows of a tile one by one. Registers:
//
//	DI  the call           R15 A of the tile      BX  rows of the tile left
//	R9  Src of the row     R11 bytes of a row
//	R14 Dst of the row     R12 bytes of a row
//	R8  B of the row       R10 bytes of a row
//
// and while sums are computed:
//
//	AX  A of this quad     DX  B of this quad
//	SI  k left of a run    CX  k left behind it
//
// Z16 and Z17 hold the sums of the runs before.
func (s avx512bf16) some(f *function) {
	f.op("MOVQ %d(DI), R15", callA)
	f.op("MOVQ $0, %d(DI)", callSrcAt)
	f.op("MOVQ $0, %d(DI)", callDstAt)
	f.label("some")
	f.op("MOVQ %d(DI), R9", callSrc)
	f.op("ADDQ %d(DI), R9", callSrcAt)
	f.op("MOVQ %d(DI), R14", callDst)
	f.op("ADDQ %d(DI), R14", callDstAt)
	f.op("MOVQ %d(DI), R8", callB)
	f.op("MOVQ %d(DI), BX", callRows)
	f.label("row")
	f.op("MOVQ R15, AX")
	f.op("MOVQ R8, DX")
	f.op("MOVQ %d(DI), CX", callRank)
	f.run("loop")
	f.op("JZ finish")
	f.each(func(i int, r string) { f.op("VMOVAPS %s, Z%d", r, 16+i) })
	f.label("run")
	f.run("more")
	f.each(func(i int, r string) { f.op("VADDPS %s, Z%d, %s", r, 16+i, r) })
	f.each(func(i int, r string) { f.op("VMOVAPS %s, Z%d", r, 16+i) })
	f.op("TESTQ CX, CX")
	f.op("JNZ run")
	f.label("finish")
	f.source, f.result = func(int) string { return "(R9)" }, func(int) string { return "(R14)" }
	f.finish(s)
	f.op("ADDQ R10, R8")
	f.op("ADDQ R11, R9")
	f.op("ADDQ R12, R14")
	f.op("DECQ BX")
	f.op("JNZ row")
	cols := f.shape.vectors() * s.lanes()
	f.op("ADDQ $%d, %d(DI)", cols*f.kind.src, callSrcAt)
	f.op("ADDQ $%d, %d(DI)", cols*f.kind.dst, callDstAt)
	f.op("ADDQ %d(DI), R15", callNext)
	f.op("DECQ %d(DI)", callLeft)
	f.op("JNZ some")
	f.op("JMP return")
	f.label("special")
	f.op("MOVQ BX, %d(DI)", callRows)
}

// four multiplies tiles of four rows. Between the products of a tile it finishes the
// rows of the one before, of which the sums are in Z16 to Z23: processors that multiply
// in two of four units do the rest in the others, if it is near enough. Registers:
//
//	DI  the call                         BX  three rows of Src
//	R9  Src of the tile to finish        R11 bytes of a row
//	R14 Dst                              R12 bytes of a row, R15 of three
//	AX  A of this quad                   R8  B of the rows, R10 bytes of a row
//	DX  B of this quad, row 0            R13 row 2
//	SI  k left of a run, or quads left of a phase; CX k left behind the run
func (s avx512bf16) four(f *function) {
	cols := f.shape.vectors() * s.lanes()
	last := *f
	last.set, last.suffix = pending{}, "Last"
	last.source, last.result = spaced("R9", "", "R11", "BX"), spaced("R14", "", "R12", "R15")
	before := last
	before.suffix = "Before"
	f.label("four")
	f.op("MOVQ %d(DI), AX", callA)
	f.op("MOVQ %d(DI), R8", callB)
	f.op("MOVQ %d(DI), R9", callSrc)
	f.op("MOVQ %d(DI), R14", callDst)
	f.op("LEAQ (R11)(R11*2), BX")
	f.op("LEAQ (R12)(R12*2), R15")
	s.multiply(f)
	f.products("first")
	f.op("JMP sums")
	f.label("tile")
	s.multiply(f)
	f.zero()
	s.avx512.begin(&before)
	for row := range f.shape.rows {
		s.ahead(f, row)
		s.finish(&before, row, 0)
		s.phase(f, row)
	}
	f.op("SUBQ %d(DI), CX", callRun)
	before.settle(s)
	f.op("ADDQ $%d, R9", cols*f.kind.src)
	f.op("ADDQ $%d, R14", cols*f.kind.dst)
	f.op("DECQ %d(DI)", callLeft)
	f.label("sums")
	s.sums(f)
	f.op("CMPQ %d(DI), $1", callLeft)
	f.op("JNE tile")
	last.finish(s)
	f.op("MOVQ $0, %d(DI)", callLeft)
	f.label("specialLast")
	f.label("specialBefore")
	f.op("JMP return")
}

// pending is the set whose first registers hold the sums of the tile to finish.
type pending struct{ avx512bf16 }

func (pending) reg(i int) string { return fmt.Sprintf("Z%d", 16+i) }

// ahead fetches a row of the next ones.
func (s avx512bf16) ahead(f *function, row int) {
	f.op("LEAQ (R9)(R11*4), SI")
	f.fetch(spaced("SI", "", "R11", "BX")(row))
}

// phase multiplies a fourth of the quads of the first run, the earlier phases more.
func (s avx512bf16) phase(f *function, n int) {
	f.op("MOVQ %d(DI), SI", callRank)
	f.op("CMPQ SI, %d(DI)", callRun)
	f.op("CMOVQGT %d(DI), SI", callRun)
	f.op("ADDQ $%d, SI", 4*(f.shape.rows-1-n))
	f.op("SHRQ $4, SI")
	f.op("JZ phase%d", n+1)
	f.label(fmt.Sprintf("quad%d", n))
	f.fourK()
	f.op("DECQ SI")
	f.op("JNZ quad%d", n)
	f.label(fmt.Sprintf("phase%d", n+1))
}

// multiply begins the products of a tile.
func (avx512bf16) multiply(f *function) {
	f.op("MOVQ R8, DX")
	f.op("LEAQ (R8)(R10*2), R13")
	f.op("MOVQ %d(DI), CX", callRank)
}

// sums adds the runs after the first, if there are any, and leaves the sums for the next
// tile to finish.
func (s avx512bf16) sums(f *function) {
	odd := func(i int) string { return f.set.reg(f.shape.sums() + i) }
	f.op("CMPQ CX, $0")
	f.op("JGT runs")
	f.each(func(i int, r string) { f.op("VADDPS %s, %s, %s", odd(i), r, pending{}.reg(i)) })
	f.op("JMP multiplied")
	f.label("runs")
	f.join()
	f.label("park")
	f.each(func(i int, r string) { f.op("VMOVUPS %s, %d(DI)", r, callPark+64*i) })
	f.run("again")
	f.each(func(i int, r string) { f.op("VADDPS %d(DI), %s, %s", callPark+64*i, r, r) })
	f.op("TESTQ CX, CX")
	f.op("JNZ park")
	f.each(func(i int, r string) { f.op("VMOVAPS %s, %s", r, pending{}.reg(i)) })
	f.label("multiplied")
}

// run computes the sums of a run, and leaves the flag Z when it is the last.
func (f *function) run(loop string) {
	f.products(loop)
	f.join()
	f.op("TESTQ CX, CX")
}

// products computes the sums of a run for each parity of k.
func (f *function) products(loop string) {
	f.zero()
	f.op("MOVQ %d(DI), SI", callRun)
	f.op("CMPQ CX, SI")
	f.op("CMOVQLT CX, SI")
	f.op("SUBQ SI, CX")
	f.label(f.at(loop))
	f.fourK()
	f.op("SUBQ $4, SI")
	f.op("JGT %s", f.at(loop))
}

// fourK adds the products of a quad.
func (f *function) fourK() {
	f.quad(false)
	f.quad(true)
	f.op("ADDQ $%d, AX", pairBytes)
	f.op("ADDQ $8, DX")
	if f.shape.rows > 2 {
		f.op("ADDQ $8, R13")
	}
}

// quad adds the products of two k of a parity.
func (f *function) quad(odd bool) {
	right, left := 0, 0
	if odd {
		right, left = pairBytes/2, 4
	}
	for v := range f.shape.vectors() {
		f.op("VMOVDQU64 %d(AX), Z%d", right+v*64, 26+v)
	}
	for row := range f.shape.rows {
		m := memory{at: left, base: "DX"}
		if row >= 2 {
			m.base = "R13"
		}
		if row%2 == 1 {
			m.index = "R10"
		}
		for v := range f.shape.vectors() {
			sum := row*f.shape.vectors() + v
			if odd {
				sum += f.shape.sums()
			}
			f.raw(vdpbf16ps(sum, 26+v, m), "VDPBF16PS %v, Z%d, Z%d", m, 26+v, sum)
		}
	}
}

// vdpbf16ps encodes VDPBF16PS zmm, of EVEX.512.F3.0F38.W0, with an operand of 32 bits
// that is broadcast: sum += x·m for pairs.
func vdpbf16ps(sum, x int, m memory) []byte {
	base, index := m.numbers()
	not := func(n, bit, to int) byte { return byte(^n>>bit&1) << to }
	code := []byte{
		0x62,
		not(sum, 3, 7) | not(index, 3, 6) | not(base, 3, 5) | not(sum, 4, 4) | 2,
		byte(^x&15)<<3 | 4 | vexF3,
		0x50 | not(x, 4, 3),
		0x52,
	}
	return append(code, m.operand(sum, 4)...)
}
