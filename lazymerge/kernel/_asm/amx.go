package main

import "fmt"

// amx has the pairwise order by TDPBF16PS, 16 rows and 64 columns at a time: a patch.
// While the tiles multiply a patch, avx512 finishes the rows of the one before, of
// which the sums were stored: a turn has some of the products and some of the rows.
// Tiles are configured and released in the same function, which the runtime does not
// preempt, so that no other goroutine finds or loses their state. Registers:
//
//	DI  the call           SI  Src of the row      R11 bytes of a row
//	BX  tiles              DX  Dst of the row      R12 bytes of a row
//	AX  A of this step     R13 sums of the row     R8  bytes from a row of A or of sums to the next
//	R10 B of this step     R14 rows left           R9  special of the patch to finish
//	R15 turns left         CX  rows left in this turn
//
// Tiles 0 to 3 hold sums, each of 16 columns. 4 and 5 hold B and A of a step of 32 k,
// 6 and 7 those of the last step, which may be shorter; 6 stays over all patches.
type amx struct{ avx512 }

const (
	amxB, amxA         = 4, 5
	amxLastB, amxLastA = 6, 7

	amxRows  = 16
	amxTiles = 4             // beside each other
	amxRow   = amxTiles * 64 // bytes of a row of a patch's sums, and of a pair of k of A
	amxStepB = amxRows * 64
	amxStepA = 16 * amxRow
)

// Offsets in kernel.tiles.
const (
	tilesConfig  = 0
	tilesRows    = 64
	tilesTurns   = 72
	tilesEach    = 80
	tilesLast    = 88
	tilesSrc     = 96
	tilesDst     = 104
	tilesRead    = 112
	tilesWrite   = 120
	tilesCount   = 128
	tilesSpecial = 136
	tilesSums    = tilesSpecial + 4*128
)

var tilesOffsets = []fieldOffset{
	{"config", tilesConfig}, {"rows", tilesRows}, {"turns", tilesTurns}, {"each", tilesEach}, {"last", tilesLast},
	{"src", tilesSrc}, {"dst", tilesDst}, {"read", tilesRead}, {"write", tilesWrite}, {"count", tilesCount},
	{"special", tilesSpecial}, {"sums", tilesSums},
}

// generateAMX prints the functions and their Go declarations.
func generateAMX() (asm, stubs []byte) {
	text, decl, table := &emitter{}, &emitter{}, &emitter{}
	text.WriteString(header + "#include \"textflag.h\"\n\n")
	decl.WriteString(header + "package kernel\n")
	s := amx{}
	s.data(text)
	for _, k := range kinds {
		f := &function{emitter: text, set: s, shape: shape{order: "Pair", rows: 1, groups: 2}, kind: k}
		name := "amx" + k.name
		s.patches(f, name)
		fmt.Fprintf(decl, "\n//go:noescape\nfunc %s(c *call, t *tiles)\n", name)
		fmt.Fprintf(table, "%s,\n", name)
	}
	s.pairLeft(text)
	s.pairRight(text)
	decl.WriteString("\n//go:noescape\nfunc amxPairLeft(dst *uint32, row *float32, rank int)\n")
	decl.WriteString("\n//go:noescape\nfunc amxPairRight(dst *uint32, left, right *float32, rank int)\n")
	fmt.Fprintf(decl, "\nvar amxMatrix = matrix{\npairLeft: amxPairLeft, pairRight: amxPairRight,\nkernels: [kinds]func(*call, *tiles){\n%s}}\n", table)
	return text.Bytes(), pretty(decl.Bytes())
}

// patches prints a function.
func (s amx) patches(f *function, name string) {
	fmt.Fprintf(f, "// func %s(c *call, t *tiles)\nTEXT ·%s(SB), NOSPLIT, $0-16\n", name, name)
	f.op("MOVQ c+0(FP), DI")
	f.op("MOVQ t+8(FP), BX")
	s.start(f)
	f.label("patch")
	f.op("MOVQ %d(DI), R10", callB)
	f.op("MOVQ %d(BX), R15", tilesTurns)
	for t := range amxTiles {
		f.raw(tilezero(t), "TILEZERO T%d", t)
	}
	f.label("turn")
	s.multiply(f)
	f.label("rows")
	f.op("MOVQ %d(BX), CX", tilesEach)
	f.op("CMPQ R14, CX")
	f.op("CMOVQLT R14, CX")
	f.op("TESTQ CX, CX")
	f.op("JZ turned")
	s.row(f)
	f.label("turned")
	f.op("DECQ R15")
	f.op("JGT turn")
	f.op("JLT return")
	s.next(f)
	f.op("JNZ patch")
	f.op("MOVQ R14, CX") // the last patch; R15 is 0
	f.op("JMP row")
	f.label("specialRow")
	f.op("BTSL R14, (R9)")
	f.op("JMP done")
	f.label("return")
	f.raw(tilerelease(), "TILERELEASE")
	f.op("VZEROUPPER")
	f.op("RET")
	f.WriteString("\n")
}

// start loads what stays in registers, and finds two places for sums.
func (s amx) start(f *function) {
	f.raw(ldtilecfg(memory{base: "BX"}), "LDTILECFG (BX)")
	f.op("MOVQ %d(DI), SI", callSrc)
	f.op("MOVQ SI, %d(BX)", tilesSrc)
	f.op("MOVQ %d(DI), DX", callDst)
	f.op("MOVQ DX, %d(BX)", tilesDst)
	f.op("MOVQ %d(DI), R11", callSrcRow)
	f.op("MOVQ %d(DI), R12", callDstRow)
	f.op("MOVQ %d(DI), AX", callA)
	f.op("LEAQ %d(BX), R13", tilesSums+63)
	f.op("ANDQ $~63, R13")
	f.op("MOVQ R13, %d(BX)", tilesRead)
	f.op("ADDQ $%d, R13", amxRows*amxRow)
	f.op("MOVQ R13, %d(BX)", tilesWrite)
	f.op("LEAQ %d(BX), R9", tilesSpecial-4)
	f.op("MOVQ $%d, R8", amxRow)
	f.op("XORL R14, R14") // no rows to finish yet
	f.op("MOVQ %d(BX), R10", tilesTurns)
	f.op("SUBQ $%d, R10", amxTiles)
	f.op("IMULQ $%d, R10", amxStepB)
	f.op("ADDQ %d(DI), R10", callB)
	f.op("MOVQ $64, CX")
	last := memory{base: "R10", index: "CX"}
	f.raw(tileloadd(amxLastB, last), "TILELOADD %v, T%d", last, amxLastB)
	s.persist(f)
	f.op("MOVQ %d(DI), CX", callCount)
	f.op("MOVQ CX, %d(BX)", tilesCount)
}

// multiply prints the turns: one for each step before the last, and one for each tile
// of the last. A tile's sums are stored a turn later, when they have come out.
func (s amx) multiply(f *function) {
	for t := range amxTiles {
		f.op("CMPQ R15, $%d", amxTiles-t)
		f.op("JEQ last%d", t)
	}
	f.op("MOVQ $64, CX")
	b := memory{base: "R10", index: "CX"}
	f.raw(tileloadd(amxB, b), "TILELOADD %v, T%d", b, amxB)
	for t := range amxTiles {
		s.product(f, t, amxB, amxA)
	}
	f.op("ADDQ $%d, R10", amxStepB)
	f.op("ADDQ $%d, AX", amxStepA)
	f.op("JMP rows")
	for t := range amxTiles {
		f.label(fmt.Sprintf("last%d", t))
		s.product(f, t, amxLastB, amxLastA)
		if t > 0 {
			f.op("MOVQ %d(BX), CX", tilesWrite)
			s.store(f, t-1)
		}
		if t < amxTiles-1 {
			f.op("JMP rows")
		}
	}
}

func (amx) product(f *function, sum, b, a int) {
	m := memory{at: 64 * sum, base: "AX", index: "R8"}
	f.raw(tileloadd(a, m), "TILELOADD %v, T%d", m, a)
	f.raw(tdpbf16ps(sum, b, a), "TDPBF16PS T%d, T%d, T%d", a, b, sum)
}

func (amx) store(f *function, sum int) {
	m := memory{at: 64 * sum, base: "CX", index: "R8"}
	f.raw(tilestored(sum, m), "TILESTORED T%d, %v", sum, m)
}

// row finishes CX rows.
func (s amx) row(f *function) {
	f.source = func(int) string { return "(SI)" }
	f.result = func(int) string { return "(DX)" }
	f.suffix = "Row"
	f.label("row")
	for v := range f.shape.vectors() {
		f.op("VMOVUPS %d(R13), %s", 64*v, f.sum(0, v, false))
	}
	f.finish(s)
	f.label("done")
	f.op("ADDQ R11, SI")
	f.op("ADDQ R12, DX")
	f.op("ADDQ R8, R13")
	f.op("DECQ R14")
	f.op("DECQ CX")
	f.op("JNZ row")
}

// next makes the patch just multiplied the one to finish.
func (s amx) next(f *function) {
	f.op("MOVQ %d(BX), R13", tilesWrite)
	f.op("MOVQ R13, CX")
	s.store(f, amxTiles-1)
	f.op("MOVQ %d(BX), CX", tilesRead)
	f.op("MOVQ CX, %d(BX)", tilesWrite)
	f.op("MOVQ R13, %d(BX)", tilesRead)
	f.op("MOVQ %d(BX), SI", tilesSrc)
	f.op("MOVQ %d(BX), DX", tilesDst)
	f.op("ADDQ $%d, %d(BX)", amxTiles*16*f.kind.src, tilesSrc)
	f.op("ADDQ $%d, %d(BX)", amxTiles*16*f.kind.dst, tilesDst)
	f.op("MOVQ %d(BX), R14", tilesRows)
	f.op("ADDQ %d(BX), AX", tilesLast)
	f.op("ADDQ $4, R9")
	f.op("DECQ %d(BX)", tilesCount)
}

// pairLeft prints the function that makes a row of B what the tiles read: pairs of k,
// the steps as far apart as tiles.
func (amx) pairLeft(e *emitter) {
	const name = "amxPairLeft"
	fmt.Fprintf(e, "// func %s(dst *uint32, row *float32, rank int)\nTEXT ·%s(SB), NOSPLIT, $0-24\n", name, name)
	e.op("MOVQ dst+0(FP), DI")
	e.op("MOVQ row+8(FP), SI")
	e.op("MOVQ rank+16(FP), CX")
	e.label("step")
	e.op("MOVL $-1, AX")
	e.op("CMPQ CX, $32")
	e.op("JGE whole")
	e.op("MOVL $1, AX")
	e.op("SHLQ CX, AX")
	e.op("DECQ AX")
	e.label("whole")
	e.op("KMOVW AX, K1")
	e.op("SHRL $16, AX")
	e.op("KMOVW AX, K2")
	for v := range 2 {
		e.op("VMOVDQU32.Z %d(SI), K%d, Z%d", 64*v, v+1, v)
	}
	for v := range 2 {
		e.op("VPSRLD $16, Z%d, Z%d", v, v)
		e.op("VPMOVDW Z%d, %d(DI)", v, 32*v)
	}
	e.op("ADDQ $128, SI")
	e.op("ADDQ $%d, DI", amxStepB)
	e.op("SUBQ $32, CX")
	e.op("JGT step")
	e.op("VZEROUPPER")
	e.op("RET")
	e.WriteString("\n")
}

// pairRight prints the function that makes 64 columns of A what the tiles read: pairs of
// k, for each of them four times 16 columns. left and right are panels of the factor.
func (amx) pairRight(e *emitter) {
	const name = "amxPairRight"
	fmt.Fprintf(e, "// func %s(dst *uint32, left, right *float32, rank int)\nTEXT ·%s(SB), NOSPLIT, $0-32\n", name, name)
	e.op("MOVQ dst+0(FP), DI")
	e.op("MOVQ left+8(FP), SI")
	e.op("MOVQ right+16(FP), DX")
	e.op("MOVQ rank+24(FP), CX")
	e.op("VPBROADCASTD avx512words<>+4(SB), Z31")
	e.op("SUBQ $2, CX")
	e.op("JLT single")
	e.label("pair")
	for v := range amxTiles {
		at := fmt.Sprintf("%d(%s)", v%2*64, []string{"SI", "DX"}[v/2])
		odd := fmt.Sprintf("%d(%s)", panelBytes+v%2*64, []string{"SI", "DX"}[v/2])
		e.op("VPSRLD $16, %s, Z%d", at, v)
		e.op("VPANDD %s, Z31, Z%d", odd, 4+v)
		e.op("VPORD Z%d, Z%d, Z%d", 4+v, v, v)
		e.op("VMOVDQU64 Z%d, %d(DI)", v, 64*v)
	}
	e.op("ADDQ $%d, SI", 2*panelBytes)
	e.op("ADDQ $%d, DX", 2*panelBytes)
	e.op("ADDQ $%d, DI", amxRow)
	e.op("SUBQ $2, CX")
	e.op("JGE pair")
	e.label("single")
	e.op("ADDQ $2, CX")
	e.op("JZ paired")
	for v := range amxTiles {
		e.op("VPSRLD $16, %d(%s), Z%d", v%2*64, []string{"SI", "DX"}[v/2], v)
		e.op("VMOVDQU64 Z%d, %d(DI)", v, 64*v)
	}
	e.label("paired")
	e.op("VZEROUPPER")
	e.op("RET")
}
