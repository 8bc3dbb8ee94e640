package main

import (
	"fmt"
	"strings"
)

// amx has the pairwise order by TDPBF16PS, four tiles of sums at a time: a patch. While
// the tiles multiply a patch, avx512 finishes the rows of the one before, of which the
// sums were stored: a turn has some of the products, and every so many turns have some
// rows. Tiles are configured and released in the same function, which the runtime does
// not preempt, so that no other goroutine finds or loses their state. Registers:
//
//	DI  the call           SI  Src of the row      R11 bytes of a row
//	BX  tiles              DX  Dst of the row      R12 bytes of a row
//	AX  A of this tile     R13 sums of the row     R9  special of the patch to finish
//	R10 B of this step     R14 rows left           R15 and CX temporary
//	R8  64: bytes from a row of a tile to the next, all are dense
//
// Tiles 0 to 3 hold sums. A patch is wide, 16 rows and 64 columns, where there are few
// steps: B is in tile 4, over a whole strip where there is one step, and in tile 5 one
// tile of A after another. Where there are many it is square, 32 rows and 32 columns,
// with the upper and the lower rows of B in 4 and 5, the even and the odd columns of A in
// 6 and 7, so that each is for two products: A is read half as often, and the weights in
// pieces half as long.
//
// Nothing is fetched ahead: of an Intel processor of 2023 the hints, to the first or the
// second cache, of weights or results, were of no use or cost up to a tenth.
type amx struct {
	avx512
	wide bool
}

const (
	amxB, amxA = 4, 6 // of a square patch
	amxWideA   = 5

	amxTiles = 4
	amxTile  = 16 * 64
)

// batch is the number of rows that are finished together, in a fourth of the turns.
func (s amx) batch() int {
	if s.wide {
		return 4
	}
	return 8
}

// vector is where the sums of a row's vector are, from those of the first.
func (s amx) vector(v int) int {
	if s.wide {
		return v * amxTile
	}
	return v * 2 * amxTile
}

// Offsets in kernel.tiles, and in kernel.strip, of which it holds some.
const (
	tilesConfig  = 0
	tilesTall    = 64
	tilesLower   = 72
	tilesTurns   = 80
	tilesEvery   = 88
	tilesTile    = 96
	tilesSkip    = 104
	tilesRemain  = 112
	tilesRead    = 120
	tilesWrite   = 128
	tilesOwn     = 136
	tilesList    = tilesOwn + 8*8
	tilesSpecial = tilesList + 32*stripBytes

	ownStrip = tilesOwn + 8*0
	ownLeft  = tilesOwn + 8*1 // patches of the strip
	ownSrc   = tilesOwn + 8*2 // of the patch that is multiplied
	ownDst   = tilesOwn + 8*3
	ownA     = tilesOwn + 8*4
	ownB     = tilesOwn + 8*5 // of the strip
	ownTurns = tilesOwn + 8*6 // left
	ownPause = tilesOwn + 8*7 // turns until rows are finished

	stripSrc   = 0
	stripDst   = 8
	stripA     = 16
	stripB     = 24
	stripCount = 32
	stripBytes = 40
)

var tilesOffsets = []fieldOffset{
	{"config", tilesConfig},
	{"tall", tilesTall},
	{"lower", tilesLower},
	{"turns", tilesTurns},
	{"every", tilesEvery},
	{"tile", tilesTile},
	{"skip", tilesSkip},
	{"remain", tilesRemain},
	{"read", tilesRead},
	{"write", tilesWrite},
	{"own", tilesOwn},
	{"list", tilesList},
	{"special", tilesSpecial},
}

var stripOffsets = []fieldOffset{
	{"src", stripSrc}, {"dst", stripDst}, {"a", stripA}, {"b", stripB}, {"count", stripCount}, {"bytes", stripBytes},
}

// generateAMX prints the functions and their Go declarations.
func generateAMX() (asm, stubs []byte) {
	text, decl := &emitter{}, &emitter{}
	text.WriteString(header + "#include \"textflag.h\"\n\n")
	decl.WriteString(header + "package kernel\n")
	amx{}.data(text)
	tables := &emitter{}
	for _, s := range []amx{{wide: true}, {}} {
		name := "square"
		groups := 1
		if s.wide {
			name, groups = "wide", 2
		}
		fmt.Fprintf(tables, "%s: [kinds]func(*call, *tiles){\n", name)
		for _, k := range kinds {
			f := &function{emitter: text, set: s, shape: shape{order: "Pair", groups: groups}, kind: k}
			name := "amx" + strings.ToUpper(name[:1]) + name[1:] + k.name
			s.patches(f, name)
			fmt.Fprintf(decl, "\n//go:noescape\nfunc %s(c *call, t *tiles)\n", name)
			fmt.Fprintf(tables, "%s,\n", name)
		}
		tables.WriteString("},\n")
	}
	amx{}.pairLeft(text)
	amx{}.pairRight(text)
	decl.WriteString("\n//go:noescape\nfunc amxPairLeft(dst *uint32, row *float32, rank int, by float32)\n")
	decl.WriteString("\n//go:noescape\nfunc amxPairRight(dst *uint32, panel *float32, rank, pairs int)\n")
	fmt.Fprintf(decl, "\nvar amxMatrix = matrix{\npairLeft: amxPairLeft, pairRight: amxPairRight,\n%s}\n", tables)
	return text.Bytes(), pretty(decl.Bytes())
}

// patches prints a function.
func (s amx) patches(f *function, name string) {
	fmt.Fprintf(f, "// func %s(c *call, t *tiles)\nTEXT ·%s(SB), NOSPLIT, $0-16\n", name, name)
	f.op("MOVQ c+0(FP), DI")
	f.op("MOVQ t+8(FP), BX")
	s.start(f)
	f.label("strip")
	s.strip(f)
	f.label("patch")
	f.op("MOVQ %d(BX), R10", ownB)
	f.op("MOVQ %d(BX), CX", tilesTurns)
	f.op("MOVQ CX, %d(BX)", ownTurns)
	f.label("turn") // CX left
	s.multiply(f)
	f.label("multiplied")
	f.op("DECQ %d(BX)", ownPause)
	f.op("JNZ turned")
	f.op("MOVQ %d(BX), CX", tilesEvery)
	f.op("MOVQ CX, %d(BX)", ownPause)
	f.label("finish")
	f.op("CMPQ R14, $%d", s.batch())
	f.op("JLT few")
	s.rows(f)
	f.label("turned")
	f.op("MOVQ %d(BX), CX", ownTurns)
	f.op("DECQ CX")
	f.op("MOVQ CX, %d(BX)", ownTurns)
	f.op("JGT turn")
	f.op("TESTQ R14, R14")
	f.op("JNZ finish")
	f.op("DECQ %d(BX)", tilesRemain)
	f.op("JLT return")
	s.next(f)
	f.op("CMPQ %d(BX), $0", tilesRemain)
	f.op("JEQ drain")
	f.op("DECQ %d(BX)", ownLeft)
	f.op("JNZ patch")
	f.op("ADDQ $%d, %d(BX)", stripBytes, ownStrip)
	f.op("JMP strip")
	f.label("drain")
	f.op("MOVQ $0, %d(BX)", ownTurns)
	f.op("JMP finish")
	f.label("return")
	f.raw(tilerelease(), "TILERELEASE")
	f.op("VZEROUPPER")
	f.op("RET")
	f.label("few")
	f.op("MOVQ R14, CX")
	f.op("TESTQ CX, CX")
	f.op("JZ turned")
	f.op("JMP row")
	f.label("specialRows")
	s.restore(f)
	f.op("MOVL $%d, CX", s.batch())
	s.row(f)
	f.op("JMP turned")
	f.label("specialRow")
	f.op("BTSQ R14, (R9)")
	f.op("JMP done")
	f.WriteString("\n")
}

// start loads what stays in registers.
func (s amx) start(f *function) {
	f.raw(ldtilecfg(memory{base: "BX"}), "LDTILECFG (BX)")
	f.op("MOVQ %d(DI), R11", callSrcRow)
	f.op("MOVQ %d(DI), R12", callDstRow)
	f.op("MOVL $64, R8")
	f.op("LEAQ %d(BX), R9", tilesSpecial-8)
	f.op("XORL R14, R14") // no rows to finish yet
	f.op("LEAQ %d(BX), CX", tilesList)
	f.op("MOVQ CX, %d(BX)", ownStrip)
	f.op("MOVQ %d(BX), CX", tilesEvery)
	f.op("MOVQ CX, %d(BX)", ownPause)
	s.persist(f)
}

// strip begins a strip.
func (s amx) strip(f *function) {
	f.op("MOVQ %d(BX), R15", ownStrip)
	for _, x := range [][3]int{{callSrc, stripSrc, ownSrc}, {callDst, stripDst, ownDst}, {callB, stripB, ownB}} {
		f.op("MOVQ %d(DI), CX", x[0])
		f.op("ADDQ %d(R15), CX", x[1])
		f.op("MOVQ CX, %d(BX)", x[2])
	}
	f.op("MOVQ %d(DI), AX", callA)
	f.op("ADDQ %d(R15), AX", stripA)
	f.op("MOVQ %d(R15), R15", stripCount)
	f.op("MOVQ R15, %d(BX)", ownLeft)
	if s.wide {
		s.load(f, amxB, memory{base: "CX"})
	}
}

// multiply prints a turn for each step before the last, and one for each tile of sums
// of the last.
func (s amx) multiply(f *function) {
	for t := range amxTiles {
		f.op("CMPQ CX, $%d", amxTiles-t)
		f.op("JEQ last%d", t)
	}
	for t := range amxTiles {
		s.part(f, t)
	}
	f.op("ADDQ $%d, R10", 2*amxTile)
	f.op("ADDQ $%d, AX", 2*amxTile)
	f.op("JMP multiplied")
	for t := range amxTiles {
		f.label(fmt.Sprintf("last%d", t))
		s.lastPart(f, t)
		if t < amxTiles-1 {
			f.op("JMP multiplied")
		}
	}
	if s.wide {
		f.op("ADDQ %d(BX), AX", tilesSkip)
		f.op("ADDQ %d(BX), AX", tilesTile)
		f.op("ADDQ %d(BX), AX", tilesTile)
		return
	}
	f.op("ADDQ $%d, AX", 2*amxTile)
}

// part prints a fourth of the products of a step, with the loads before it. A tile of a
// factor is given back after its last product: a processor was seen in a state, perhaps
// beside a busy other thread of its core, where the fewer tiles are in use the less a
// load waits.
func (s amx) part(f *function, t int) {
	if s.wide {
		if t == 0 {
			s.load(f, amxB, memory{base: "R10"})
		}
		s.wideProduct(f, t)
		if t == amxTiles-1 {
			s.zero(f, amxB)
		}
		return
	}
	b, a := amxB+t/2, amxA+t%2
	if t%2 == 0 {
		s.load(f, b, memory{at: t / 2 * amxTile, base: "R10"})
	}
	if t < 2 {
		s.load(f, a, memory{at: t * amxTile, base: "AX"})
	}
	s.product(f, t, b, a)
	if t%2 == 1 {
		s.zero(f, b)
	}
	if t >= 2 {
		s.zero(f, a)
	}
}

// lastPart prints that of the last step, with the storing of sums that have come out.
func (s amx) lastPart(f *function, t int) {
	if !s.wide {
		s.part(f, t)
		if t >= 2 {
			s.store(f, t-2)
		}
		return
	}
	if t == 0 { // of the only step, the strip has loaded B
		f.op("CMPQ %d(BX), $%d", tilesTurns, amxTiles)
		f.op("JEQ loaded")
		s.load(f, amxB, memory{base: "R10"})
		f.label("loaded")
	}
	s.wideProduct(f, t)
	if t > 0 {
		s.store(f, t-1)
	}
}

// wideProduct multiplies by a tile of A, of the even or the odd columns of this panel or
// the next.
func (s amx) wideProduct(f *function, t int) {
	from := "AX"
	if t > 0 {
		from = "CX"
		f.op("MOVQ AX, CX")
		if t >= 2 {
			f.op("ADDQ %d(BX), CX", tilesSkip)
		}
		if t%2 == 1 {
			f.op("ADDQ %d(BX), CX", tilesTile)
		}
	}
	s.load(f, amxWideA, memory{base: from})
	s.product(f, t, amxB, amxWideA)
	s.zero(f, amxWideA)
}

func (amx) load(f *function, t int, m memory) {
	m.index = "R8"
	f.raw(tileloadd(t, m), "TILELOADD %v, T%d", m, t)
}

func (amx) product(f *function, sum, b, a int) {
	f.raw(tdpbf16ps(sum, b, a), "TDPBF16PS T%d, T%d, T%d", a, b, sum)
}

func (amx) zero(f *function, t int) { f.raw(tilezero(t), "TILEZERO T%d", t) }

// store stores sums: of a square patch those of the lower rows behind those of the
// upper ones.
func (s amx) store(f *function, sum int) {
	f.op("MOVQ %d(BX), CX", tilesWrite)
	m := memory{at: s.vector(sum), base: "CX", index: "R8"}
	if !s.wide {
		m.at = s.vector(sum % 2)
		if sum >= 2 {
			f.op("ADDQ %d(BX), CX", tilesLower)
		}
	}
	f.raw(tilestored(sum, m), "TILESTORED T%d, %v", sum, m)
	s.zero(f, sum)
}

// next makes the patch just multiplied the one to finish.
func (s amx) next(f *function) {
	if !s.wide {
		s.store(f, 2)
	}
	s.store(f, 3)
	f.op("MOVQ %d(BX), R13", tilesWrite)
	f.op("MOVQ %d(BX), CX", tilesRead)
	f.op("MOVQ CX, %d(BX)", tilesWrite)
	f.op("MOVQ R13, %d(BX)", tilesRead)
	f.op("MOVQ %d(BX), SI", ownSrc)
	f.op("MOVQ %d(BX), DX", ownDst)
	cols := f.shape.vectors() * s.lanes()
	f.op("ADDQ $%d, %d(BX)", cols*f.kind.src, ownSrc)
	f.op("ADDQ $%d, %d(BX)", cols*f.kind.dst, ownDst)
	f.op("MOVQ %d(BX), R14", tilesTall)
	f.op("ADDQ $8, R9")
}

// rows finishes a batch, unless one of its rows is special: then row does.
func (s amx) rows(f *function) {
	f.shape.rows, f.suffix = s.batch(), "Rows"
	f.op("LEAQ (R11)(R11*2), CX")
	f.op("LEAQ (R12)(R12*2), R8")
	if !s.wide {
		f.op("MOVQ AX, %d(BX)", ownA)
		f.op("LEAQ (SI)(R11*4), R15")
		f.op("LEAQ (DX)(R12*4), AX")
	}
	f.source, f.result = spaced("SI", "R15", "R11", "CX"), spaced("DX", "AX", "R12", "R8")
	s.sums(f)
	f.finish(s)
	from := [2]string{"SI", "DX"}
	if !s.wide {
		from = [2]string{"R15", "AX"}
	}
	f.op("LEAQ (%s)(R11*4), SI", from[0])
	f.op("LEAQ (%s)(R12*4), DX", from[1])
	s.restore(f)
	f.op("ADDQ $%d, R13", s.batch()*64)
	f.op("SUBQ $%d, R14", s.batch())
}

// restore undoes what rows did to registers.
func (s amx) restore(f *function) {
	f.op("MOVL $64, R8")
	if !s.wide {
		f.op("MOVQ %d(BX), AX", ownA)
	}
}

// sums takes the sums of rows.
func (s amx) sums(f *function) {
	for row := range f.shape.rows {
		for v := range f.shape.vectors() {
			f.op("VMOVUPS %d(R13), %s", s.vector(v)+64*row, f.sum(row, v, false))
		}
	}
}

// row finishes CX rows.
func (s amx) row(f *function) {
	f.source = func(int) string { return "(SI)" }
	f.result = func(int) string { return "(DX)" }
	f.shape.rows, f.suffix = 1, "Row"
	f.label("row")
	s.sums(f)
	f.finish(s)
	f.label("done")
	f.op("ADDQ R11, SI")
	f.op("ADDQ R12, DX")
	f.op("ADDQ R8, R13")
	f.op("DECQ R14")
	f.op("DECQ CX")
	f.op("JNZ row")
}

// pairLeft prints the function that makes a row of B, times by, what the tiles read:
// pairs of k, the steps two tiles apart.
func (amx) pairLeft(e *emitter) {
	const name = "amxPairLeft"
	fmt.Fprintf(e, "// func %s(dst *uint32, row *float32, rank int, by float32)\nTEXT ·%s(SB), NOSPLIT, $0-28\n", name, name)
	e.op("MOVQ dst+0(FP), DI")
	e.op("MOVQ row+8(FP), SI")
	e.op("MOVQ rank+16(FP), CX")
	e.op("VBROADCASTSS by+24(FP), Z2")
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
		e.op("VMOVUPS.Z %d(SI), K%d, Z%d", 64*v, v+1, v)
	}
	for v := range 2 {
		e.op("VMULPS Z2, Z%d, Z%d", v, v)
		e.op("VPSRLD $16, Z%d, Z%d", v, v)
		e.op("VPMOVDW Z%d, %d(DI)", v, 32*v)
	}
	e.op("ADDQ $128, SI")
	e.op("ADDQ $%d, DI", 2*amxTile)
	e.op("SUBQ $32, CX")
	e.op("JGT step")
	e.op("VZEROUPPER")
	e.op("RET")
	e.WriteString("\n")
}

// pairRight prints the function that makes a panel of A what the tiles read: a step after
// another, of each a tile of the even columns and one of the odd ones. A row of them is
// a pair of k, and a tile has as many rows as pairs says. Zeros fill the last.
func (amx) pairRight(e *emitter) {
	const name = "amxPairRight"
	fmt.Fprintf(e, "// func %s(dst *uint32, panel *float32, rank, pairs int)\nTEXT ·%s(SB), NOSPLIT, $0-32\n", name, name)
	e.op("MOVQ dst+0(FP), DI")
	e.op("MOVQ panel+8(FP), SI")
	e.op("MOVQ rank+16(FP), CX")
	e.op("MOVQ pairs+24(FP), BX")
	e.op("MOVQ BX, R8")
	e.op("SHLQ $6, R8") // bytes of a tile
	e.op("VPBROADCASTD avx512words<>+4(SB), Z31")
	e.label("step")
	e.op("MOVQ BX, AX")
	e.label("row")
	for v := range 2 {
		e.op("VPXORD Z%d, Z%d, Z%d", v, v, v)
	}
	e.op("TESTQ CX, CX")
	e.op("JLE paired")
	for v := range 2 {
		e.op("VPSRLD $16, %d(SI), Z%d", 64*v, v)
	}
	e.op("CMPQ CX, $1")
	e.op("JEQ paired")
	for v := range 2 {
		e.op("VPANDD %d(SI), Z31, Z%d", panelBytes+64*v, 2+v)
		e.op("VPORD Z%d, Z%d, Z%d", 2+v, v, v)
	}
	e.label("paired")
	e.op("VMOVDQU64 Z0, (DI)")
	e.op("VMOVDQU64 Z1, (DI)(R8*1)")
	e.op("ADDQ $%d, SI", 2*panelBytes)
	e.op("ADDQ $64, DI")
	e.op("SUBQ $2, CX")
	e.op("DECQ AX")
	e.op("JNZ row")
	e.op("ADDQ R8, DI")
	e.op("TESTQ CX, CX")
	e.op("JGT step")
	e.op("VZEROUPPER")
	e.op("RET")
}
