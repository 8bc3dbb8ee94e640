package main

import "fmt"

// neon is arm64's Advanced SIMD. Registers:
//
//	R0  the call           R5  tiles left         R6  A of the tile
//	R1  Src of the tile    R3  bytes of a row
//	R2  Dst of the tile    R4  bytes of a row
//	R8  A of this k        R9 to R12 B of this k  R15 bytes of a row of B
//	R13 k left of a run    R14 k left behind it
//
// V0 to V15 are sums; V24 to V29 hold 0x7fff, 0xffff0000, 1, the scale, the greatest
// magnitude of a tile's results, and nothing. The assembler lacks some instructions.
type neon struct{}

func (neon) name() string     { return "neon" }
func (neon) arch() string     { return "arm64" }
func (neon) lanes() int       { return 4 }
func (neon) reg(i int) string { return fmt.Sprintf("V%d", i) }
func (neon) data(*emitter)    {}

func (neon) shapes() []shape {
	return []shape{{"Chain", 4, 2}, {"Chain", 1, 2}, {"Pair", 2, 2}, {"Pair", 1, 2}}
}

// The three-register instructions that are printed as words: d = n op m.
const (
	neonFADD  = 0x4e20d400
	neonFMUL  = 0x6e20dc00
	neonUMAXH = 0x6e606400
	neonUMAXS = 0x6ea06400
)

// The two-register ones.
const (
	neonFCVTL  = 0x0e217800
	neonFCVTL2 = 0x4e217800
	neonFCVTN  = 0x0e216800
	neonFCVTN2 = 0x4e216800
	neonUMAXVH = 0x6e70a800
	neonUMAXVS = 0x6eb0a800
)

var neonNames = map[int]string{
	neonFADD: "FADD S4", neonFMUL: "FMUL S4", neonUMAXH: "UMAX H8", neonUMAXS: "UMAX S4",
	neonFCVTL: "FCVTL", neonFCVTL2: "FCVTL2", neonFCVTN: "FCVTN", neonFCVTN2: "FCVTN2",
	neonUMAXVH: "UMAXV H8", neonUMAXVS: "UMAXV S4",
}

func (f *function) word(op, d, n, m int) {
	f.op("WORD $%#x // %s V%d, V%d, V%d", op|d|n<<5|m<<16, neonNames[op], m, n, d)
}

func (f *function) word2(op, d, n int) {
	f.op("WORD $%#x // %s V%d, V%d", op|d|n<<5, neonNames[op], n, d)
}

func (s neon) whole(f *function, name string) {
	fmt.Fprintf(f, "// func %s(c *call) int\nTEXT ·%s(SB), NOSPLIT, $0-16\n", name, name)
	f.op("MOVD c+0(FP), R0")
	f.op("MOVD %d(R0), R1", callSrc)
	f.op("MOVD %d(R0), R2", callDst)
	f.op("MOVD %d(R0), R3", callSrcRow)
	f.op("MOVD %d(R0), R4", callDstRow)
	f.op("MOVD %d(R0), R5", callCount)
	f.op("MOVD %d(R0), R6", callA)
	f.op("MOVD %d(R0), R15", callRank)
	f.op("LSL $2, R15, R15")
	f.op("ADD $%d, R0, R23", callPark)
	f.op("FMOVS %d(R0), F27", callScale)
	f.op("VDUP V27.S[0], V27.S4")
	for v, c := range []string{"0x7fff", "0xffff0000", "1"} {
		f.op("MOVD $%s, R21", c)
		f.op("VDUP R21, V%d.S4", 24+v)
	}
	f.label("tile")
	s.sums(f)
	f.label("finish")
	f.op("VEOR V28.B16, V28.B16, V28.B16")
	f.op("MOVD R1, R19")
	for row := range f.shape.rows {
		if row > 0 {
			f.op("ADD R3, R19, R19")
		}
		for group := range f.shape.groups {
			s.finish(f, row, group)
		}
	}
	s.test(f)
	s.store(f)
	s.next(f)
	f.label("special")
	f.op("MOVD %d(R0), R21", callCount)
	f.op("SUB R5, R21, R21")
	f.op("MOVD R21, ret+%d(FP)", resultBytes)
	f.op("RET")
	f.WriteString("\n")
}

func (s neon) sums(f *function) {
	f.op("MOVD R6, R8")
	f.op("MOVD %d(R0), R9", callB)
	for row := 1; row < f.shape.rows; row++ {
		f.op("ADD R15, R%d, R%d", 8+row, 9+row)
	}
	f.op("MOVD %d(R0), R14", callRank)
	f.label("run")
	n := f.shape.sums()
	if f.shape.pair() {
		n *= 2
	}
	for i := range n {
		f.op("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	f.op("MOVD %d(R0), R13", callRun)
	f.op("CMP R14, R13")
	f.op("CSEL LT, R13, R14, R13")
	f.op("SUB R13, R14, R14")
	f.op("CBZ R13, added")
	f.label("loop")
	s.step(f, false)
	f.op("SUBS $1, R13, R13")
	if f.shape.pair() {
		f.op("BEQ added")
		s.step(f, true)
		f.op("SUBS $1, R13, R13")
	}
	f.op("BNE loop")
	f.label("added")
	s.park(f)
}

// step adds the products of one k. The vectors are the even columns and the odd ones
// of the first group and of the second, in the order of a panel: two by two.
func (neon) step(f *function, odd bool) {
	for v := range 4 {
		f.op("FMOVQ %d(R8), F%d", v%2*64+v/2*16, 16+v)
	}
	f.op("ADD $%d, R8, R8", panelBytes)
	for row := range f.shape.rows {
		f.op("VLD1R.P 4(R%d), [V20.S4]", 9+row)
		for v := range 4 {
			f.op("VFMLA V%d.S4, V20.S4, %s.S4", 16+v, f.sum(row, v, odd))
		}
	}
}

func (neon) park(f *function) {
	n := f.shape.sums()
	if f.shape.pair() {
		for i := range n {
			f.word(neonFADD, i, i, n+i)
		}
	}
	f.op("MOVD %d(R0), R21", callB)
	f.op("SUB R21, R9, R21")
	f.op("LSR $2, R21, R21")
	f.op("MOVD %d(R0), R22", callRun)
	f.op("CMP R22, R21")
	f.op("BLE first")
	for i := range n {
		f.op("FMOVQ %d(R23), F16", 16*i)
		f.word(neonFADD, i, i, 16)
	}
	if f.shape.pair() {
		f.op("B parked")
	}
	f.label("first")
	if f.shape.pair() {
		f.op("VEOR V16.B16, V16.B16, V16.B16")
		for i := range n {
			f.word(neonFADD, i, i, 16)
		}
		f.label("parked")
	}
	f.op("CBZ R14, finish")
	for i := range n {
		f.op("FMOVQ F%d, %d(R23)", i, 16*i)
	}
	f.op("B run")
}

func (s neon) finish(f *function, row, group int) {
	e := row*4 + 2*group
	o := e + 1
	f.word(neonFMUL, e, e, 27)
	f.word(neonFMUL, o, o, 27)
	switch {
	case f.kind.brain():
		s.brain(f, group, e, o)
	case f.kind.half():
		s.natural(f, e, o)
		s.half(f, group, e, o)
	default:
		s.natural(f, e, o)
		f.op("FMOVQ %d(R19), F16", 32*group)
		f.op("FMOVQ %d(R19), F17", 32*group+16)
		f.word(neonFADD, e, 16, e)
		f.word(neonFADD, o, 17, o)
	}
	s.magnitude(f, e)
	if f.kind.dst == 4 {
		s.magnitude(f, o)
	}
}

func (s neon) brain(f *function, group, e, o int) {
	if f.kind.twice {
		for _, r := range []int{e, o} {
			s.round(f, r)
			f.op("VAND V25.B16, V%d.B16, V%d.B16", r, r)
		}
	}
	f.op("FMOVQ %d(R19), F16", 16*group)
	f.op("VSHL $16, V16.S4, V17.S4")
	f.op("VAND V25.B16, V16.B16, V16.B16")
	f.word(neonFADD, e, 17, e)
	f.word(neonFADD, o, 16, o)
	if f.kind.dst == 4 {
		s.natural(f, e, o)
		return
	}
	s.round(f, e)
	s.round(f, o)
	f.op("VSRI $16, V%d.S4, V%d.S4", e, o)
	f.op("VORR V%d.B16, V%d.B16, V%d.B16", o, o, e)
}

// round puts the nearest bf16 into the high halves.
func (neon) round(f *function, r int) {
	f.op("VUSHR $16, V%d.S4, V18.S4", r)
	f.op("VAND V26.B16, V18.B16, V18.B16")
	f.op("VADD V24.S4, V%d.S4, V%d.S4", r, r)
	f.op("VADD V18.S4, V%d.S4, V%d.S4", r, r)
}

func (neon) half(f *function, group, e, o int) {
	if f.kind.twice {
		for _, r := range []int{e, o} {
			f.word2(neonFCVTN, 16, r)
			f.word2(neonFCVTL, r, 16)
		}
	}
	f.op("FMOVQ %d(R19), F16", 16*group)
	f.word2(neonFCVTL, 17, 16)
	f.word2(neonFCVTL2, 18, 16)
	f.word(neonFADD, e, 17, e)
	f.word(neonFADD, o, 18, o)
	if f.kind.dst == 4 {
		return
	}
	f.word2(neonFCVTN, e, e)
	f.word2(neonFCVTN2, e, o)
}

// natural puts even and odd columns into their order.
func (neon) natural(f *function, e, o int) {
	f.op("VZIP1 V%d.S4, V%d.S4, V16.S4", o, e)
	f.op("VZIP2 V%d.S4, V%d.S4, V%d.S4", o, e, o)
	f.op("VORR V16.B16, V16.B16, V%d.B16", e)
}

// magnitude notes results without their signs.
func (neon) magnitude(f *function, r int) {
	if f.kind.dst == 4 {
		f.op("VADD V%d.S4, V%d.S4, V18.S4", r, r)
		f.word(neonUMAXS, 28, 28, 18)
		return
	}
	f.op("VADD V%d.H8, V%d.H8, V18.H8", r, r)
	f.word(neonUMAXH, 28, 28, 18)
}

func (neon) test(f *function) {
	op, limit := neonUMAXVH, 0xf800
	switch {
	case f.kind.dst == 4:
		op, limit = neonUMAXVS, 0xff000000
	case f.kind.brain():
		limit = 0xff00
	}
	f.word2(op, 18, 28)
	f.op("VMOV V18.S[0], R21")
	f.op("MOVD $%#x, R22", limit)
	f.op("CMP R22, R21")
	f.op("BHS special")
}

func (neon) store(f *function) {
	f.op("MOVD R2, R19")
	for row := range f.shape.rows {
		if row > 0 {
			f.op("ADD R4, R19, R19")
		}
		for v := range 4 {
			switch {
			case f.kind.dst == 4:
				f.op("FMOVQ F%d, %d(R19)", row*4+v, 16*v)
			case v%2 == 0:
				f.op("FMOVQ F%d, %d(R19)", row*4+v, 8*v)
			}
		}
	}
}

func (neon) next(f *function) {
	f.op("ADD $%d, R1, R1", 16*f.kind.src)
	f.op("ADD $%d, R2, R2", 16*f.kind.dst)
	f.op("MOVD %d(R0), R21", callNext)
	f.op("MOVD %d(R0), R22", callAfter)
	f.op("ADD R21, R6, R6")
	f.op("MOVD R22, %d(R0)", callNext)
	f.op("MOVD R21, %d(R0)", callAfter)
	f.op("SUBS $1, R5, R5")
	f.op("BNE tile")
}
