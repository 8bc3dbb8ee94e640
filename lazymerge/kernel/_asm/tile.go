package main

import "fmt"

// Registers, the same in every function for x86:
//
//	DI  the call           R13 tiles left       R15 A of the tile
//	SI  Src of the tile    R11 bytes of a row
//	DX  Dst of the tile    R12 bytes of a row
//
// and while sums are computed:
//
//	AX  A of this k        BX  bytes of a panel of A
//	R8  B of this k, row 0 R9  B of this k, row 3    R10 bytes of a row of B
//	CX  k left of a run    R14 k left behind it

const (
	panelBytes  = 128 // of one k
	unrolled    = 2   // k in a turn of the loop
	resultBytes = 8
)

// x86 is a set of x86: how it finishes sums. What computes them is the same in all.
type x86 interface {
	set
	// persist loads what stays in registers over all tiles.
	persist(f *function)
	// begin prepares the finishing of a tile.
	begin(f *function)
	// finish turns the sums of a row and group of columns into results.
	finish(f *function, row, group int)
	// test leaves the flag Z when all results are finite and, of bf16, need no more.
	test(f *function)
	// exact rounds bf16 where test has found something, and then tests for results
	// that are not finite in the same way.
	exact(f *function)
	// pack makes one register of the bf16 in the high halves of two.
	pack(f *function, e, o string)
}

func (s avx512) whole(f *function, name string) { f.whole(s, name) }
func (s avx2) whole(f *function, name string)   { f.whole(s, name) }

// whole prints a function.
func (f *function) whole(s x86, name string) {
	f.source = func(row int) string { return address("SI", "R8", "R11", row) }
	f.result = func(row int) string { return address("DX", "R9", "R12", row) }
	fmt.Fprintf(f, "// func %s(c *call) int\nTEXT ·%s(SB), NOSPLIT, $0-16\n", name, name)
	f.op("MOVQ c+0(FP), DI")
	f.op("MOVQ %d(DI), SI", callSrc)
	f.op("MOVQ %d(DI), DX", callDst)
	f.op("MOVQ %d(DI), R11", callSrcRow)
	f.op("MOVQ %d(DI), R12", callDstRow)
	f.op("MOVQ %d(DI), R13", callCount)
	f.op("MOVQ %d(DI), R15", callA)
	f.op("MOVQ %d(DI), BX", callRank)
	f.op("LEAQ (BX*4), R10")
	f.op("SHLQ $7, BX")
	s.persist(f)
	f.label("tile")
	f.sums()
	f.label("finish")
	if f.shape.rows > 3 {
		f.op("LEAQ (R11)(R11*2), R8")
		f.op("ADDQ SI, R8")
		f.op("LEAQ (R12)(R12*2), R9")
		f.op("ADDQ DX, R9")
		if f.set.lanes() == 16 { // with half the speed of AVX-512 it only costs
			f.op("CMPQ %d(DI), $0", callAhead)
			f.op("JEQ near")
			f.ahead()
			f.label("near")
		}
	}
	f.finish(s)
	f.next()
	f.label("special")
	f.op("VZEROUPPER")
	f.op("MOVQ %d(DI), AX", callCount)
	f.op("SUBQ R13, AX")
	f.op("MOVQ AX, ret+%d(FP)", resultBytes)
	f.op("RET")
	f.WriteString("\n")
}

// ahead fetches the same columns of the next rows. Six rows are a tile.
func (f *function) ahead() {
	f.op("LEAQ (R11)(R11*2), CX")
	f.op("LEAQ (R8)(CX*1), AX")
	f.op("ADDQ AX, CX")
	f.prefetch(func(row int) string { return address("AX", "CX", "R11", row) })
}

// prefetch brings rows of Src from memory to the second-level cache: few processors
// see by themselves what is read a tile's rows at a time.
func (f *function) prefetch(row func(int) string) {
	for i := range f.shape.rows {
		f.fetch(row(i))
	}
}

// fetch brings the weights of a tile in a row to the second-level cache.
func (f *function) fetch(row string) {
	const line = 64
	for at := 0; at < f.shape.vectors()*f.set.lanes()*f.kind.src; at += line {
		f.op("PREFETCHT1 %d%s", at, row)
	}
}

// finish turns sums into results and stores them.
func (f *function) finish(s x86) {
	s.begin(f)
	for row := range f.shape.rows {
		for group := range f.shape.groups {
			s.finish(f, row, group)
		}
	}
	f.settle(s)
}

// settle tests results, and stores them.
func (f *function) settle(s x86) {
	s.test(f)
	if !f.kind.rounds() {
		f.op("JNZ %s", f.at("special"))
		f.store()
		return
	}
	f.op("JZ %s", f.at("finished"))
	s.exact(f)
	f.op("JNZ %s", f.at("special"))
	f.label(f.at("finished"))
	f.packs(s)
	f.store()
}

// sums computes the sums of a tile.
func (f *function) sums() {
	f.op("MOVQ R15, AX")
	f.op("MOVQ %d(DI), R8", callB)
	if f.shape.rows > 3 {
		f.op("LEAQ (R10)(R10*2), R9")
		f.op("ADDQ R8, R9")
	}
	f.op("MOVQ %d(DI), R14", callRank)
	f.label("run")
	f.zero()
	f.op("MOVQ %d(DI), CX", callRun)
	f.op("CMPQ R14, CX")
	f.op("CMOVQLT R14, CX")
	f.op("SUBQ CX, R14")
	f.op("SUBQ $%d, CX", unrolled)
	f.op("JLT rest")
	f.label("loop")
	f.step(0, false)
	f.step(1, f.shape.pair())
	f.advance(unrolled)
	f.op("SUBQ $%d, CX", unrolled)
	f.op("JGE loop")
	f.label("rest")
	f.op("ADDQ $%d, CX", unrolled)
	f.op("JZ added")
	f.step(0, false)
	f.advance(1)
	f.label("added")
	f.park()
}

func (f *function) zero() {
	n := f.shape.sums()
	if f.shape.pair() {
		n *= 2
	}
	for i := range n {
		r := f.set.reg(i)
		if r[0] == 'Z' {
			f.op("VPXORD %s, %s, %s", r, r, r)
		} else {
			f.op("VPXOR %s, %s, %s", r, r, r)
		}
	}
}

// step adds the products of one k to the sums; odd ones have sums of their own.
func (f *function) step(k int, odd bool) {
	vectors := f.shape.vectors()
	first := f.temporaries()
	if odd && f.set.lanes() == 16 {
		first += vectors
	}
	for v := range vectors {
		panel := "(AX)"
		if v >= 2 {
			panel = "(AX)(BX*1)"
		}
		f.op("VMOVUPS %d%s, %s", k*panelBytes+v%2*64, panel, f.set.reg(first+v))
	}
	b := f.set.reg(f.temporaries() + 4)
	if f.set.lanes() == 8 {
		b = f.set.reg(f.temporaries() + 2)
	}
	for row := range f.shape.rows {
		f.op("VBROADCASTSS %d%s, %s", 4*k, address("R8", "R9", "R10", row), b)
		for v := range vectors {
			f.op("VFMADD231PS %s, %s, %s", f.set.reg(first+v), b, f.sum(row, v, odd))
		}
	}
}

// temporaries is the first register that holds no sum.
func (f *function) temporaries() int {
	if f.set.lanes() == 16 {
		return 24
	}
	return 12
}

func (f *function) advance(k int) {
	f.op("ADDQ $%d, AX", k*panelBytes)
	f.op("ADDQ $%d, R8", 4*k)
	if f.shape.rows > 3 {
		f.op("ADDQ $%d, R9", 4*k)
	}
}

// park adds a run's sums to those of the runs before, and puts them aside unless it is
// the last.
func (f *function) park() {
	bytes := 4 * f.set.lanes()
	if f.shape.pair() {
		f.join()
	}
	f.op("MOVQ R8, CX")
	f.op("SUBQ %d(DI), CX", callB)
	f.op("SHRQ $2, CX")
	f.op("CMPQ CX, %d(DI)", callRun)
	f.op("JLE first")
	f.each(func(i int, r string) { f.op("VADDPS %d(DI), %s, %s", callPark+i*bytes, r, r) })
	if f.shape.pair() {
		f.op("JMP parked")
	}
	f.label("first")
	if f.shape.pair() {
		f.op("CMPQ %d(DI), $0", callSigned)
		f.op("JEQ parked")
		zero := f.set.reg(f.temporaries())
		if zero[0] == 'Z' {
			f.op("VPXORD %s, %s, %s", zero, zero, zero)
		} else {
			f.op("VPXOR %s, %s, %s", zero, zero, zero)
		}
		f.each(func(_ int, r string) { f.op("VADDPS %s, %s, %s", zero, r, r) })
	}
	f.label("parked")
	f.op("TESTQ R14, R14")
	f.op("JZ finish")
	f.each(func(i int, r string) { f.op("VMOVUPS %s, %d(DI)", r, callPark+i*bytes) })
	f.op("JMP run")
}

// join adds the sums of the odd k to those of the even ones.
func (f *function) join() {
	f.each(func(i int, r string) {
		f.op("VADDPS %s, %s, %s", f.set.reg(f.shape.sums()+i), r, r)
	})
}

func (f *function) each(do func(i int, r string)) {
	for i := range f.shape.sums() {
		do(i, f.set.reg(i))
	}
}

// scale multiplies the sums, unless by one.
func (f *function) scale(by string) {
	f.op("CMPL %d(DI), $0x3f800000", callScale)
	f.op("JEQ %s", f.at("scaled"))
	f.each(func(_ int, r string) { f.op("VMULPS %s, %s, %s", by, r, r) })
	f.label(f.at("scaled"))
}

// packs joins the halves of all groups.
func (f *function) packs(s x86) {
	for row := range f.shape.rows {
		for group := range f.shape.groups {
			s.pack(f, f.sum(row, 2*group, false), f.sum(row, 2*group+1, false))
		}
	}
}

// store writes the results: in the first register of each group, or in both where an
// element has 4 bytes.
// Stores past the caches are not worth a second set of functions: by amx, on the processor
// named there, they cost 10 to 20 % whether or not a cache holds the memory of the results.
func (f *function) store() {
	bytes := 4 * f.set.lanes()
	for row := range f.shape.rows {
		for v := range f.shape.vectors() {
			at := v * bytes
			if f.kind.dst == 2 {
				if v%2 == 1 {
					continue
				}
				at = v / 2 * bytes
			}
			f.op("VMOVUPS %s, %d%s", f.sum(row, v, false), at, f.result(row))
		}
	}
}

// next goes to the tile on the right.
func (f *function) next() {
	cols := f.shape.vectors() * f.set.lanes()
	f.op("ADDQ $%d, SI", cols*f.kind.src)
	f.op("ADDQ $%d, DX", cols*f.kind.dst)
	f.op("MOVQ %d(DI), AX", callNext)
	f.op("MOVQ %d(DI), CX", callAfter)
	f.op("ADDQ AX, R15")
	f.op("MOVQ CX, %d(DI)", callNext)
	f.op("MOVQ AX, %d(DI)", callAfter)
	f.op("DECQ R13")
	f.op("JNZ tile")
}

// address is that of a row: base is row 0, third row 3.
func address(base, third, stride string, row int) string {
	if row >= 3 {
		base, row = third, row-3
	}
	if row == 0 {
		return "(" + base + ")"
	}
	return fmt.Sprintf("(%s)(%s*%d)", base, stride, row)
}

// spaced addresses up to eight rows from the first and the fifth: thrice is three times
// the stride.
func spaced(first, fifth, stride, thrice string) func(row int) string {
	return func(row int) string {
		base := first
		if row >= 4 {
			base = fifth
		}
		if row %= 4; row == 3 {
			return address(base, "", thrice, 1)
		}
		return address(base, "", stride, row)
	}
}

// weights is the address of Src in a row and group, of which a register holds part.
func (f *function) weights(row, group, part int) string {
	at := (2*group*f.set.lanes() + part*f.set.lanes()) * f.kind.src
	return fmt.Sprintf("%d%s", at, f.source(row))
}
