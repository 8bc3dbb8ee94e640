package main

import (
	"fmt"
)

// avx2 needs AVX2, FMA and F16C. Y12 holds the greatest magnitude of a tile's results,
// Y13 to Y15 are temporary.
type avx2 struct{}

func (avx2) name() string     { return "avx2" }
func (avx2) arch() string     { return "amd64" }
func (avx2) lanes() int       { return 8 }
func (avx2) reg(i int) string { return fmt.Sprintf("Y%d", i) }

func (avx2) shapes() []shape {
	return []shape{{"Chain", 6, 1}, {"Chain", 1, 1}, {"Pair", 3, 1}, {"Pair", 1, 1}}
}

func (avx2) persist(*function) {}

func (avx2) begin(f *function) {
	f.op("VPXOR Y12, Y12, Y12")
	f.op("VBROADCASTSS %d(DI), Y15", callScale)
	f.each(func(_ int, r string) { f.op("VMULPS Y15, %s, %s", r, r) })
}

func (s avx2) finish(f *function, row, group int) {
	e, o := f.sum(row, 2*group, false), f.sum(row, 2*group+1, false)
	switch {
	case f.kind.brain():
		s.brain(f, row, group, e, o)
	case f.kind.half():
		s.natural(f, e, o)
		s.half(f, row, group, e, o)
	default:
		s.natural(f, e, o)
		f.op("VADDPS %s, %s, %s", f.source(row, group, 0), e, e)
		f.op("VADDPS %s, %s, %s", f.source(row, group, 1), o, o)
	}
	s.magnitude(f, e)
	if f.kind.dst == 4 {
		s.magnitude(f, o)
	}
}

func (s avx2) brain(f *function, row, group int, e, o string) {
	if f.kind.twice {
		for _, r := range []string{e, o} {
			s.round(f, r)
			f.op("VPAND avx2high<>(SB), %s, %s", r, r)
		}
	}
	f.op("VMOVDQU %s, Y13", f.source(row, group, 0))
	f.op("VPSLLD $16, Y13, Y14")
	f.op("VPAND avx2high<>(SB), Y13, Y13")
	f.op("VADDPS Y14, %s, %s", e, e)
	f.op("VADDPS Y13, %s, %s", o, o)
	if f.kind.dst == 4 {
		s.natural(f, e, o)
		return
	}
	s.round(f, e)
	s.round(f, o)
	f.op("VPSRLD $16, %s, %s", e, e)
	f.op("VPBLENDW $0xaa, %s, %s, %s", o, e, e)
}

// round puts the nearest bf16 into the high halves.
func (avx2) round(f *function, r string) {
	f.op("VPSRLD $16, %s, Y15", r)
	f.op("VPAND avx2one<>(SB), Y15, Y15")
	f.op("VPADDD avx2bias<>(SB), %s, %s", r, r)
	f.op("VPADDD Y15, %s, %s", r, r)
}

func (avx2) half(f *function, row, group int, e, o string) {
	if f.kind.twice {
		for _, r := range []string{e, o} {
			f.op("VCVTPS2PH $0, %s, X13", r)
			f.op("VCVTPH2PS X13, %s", r)
		}
	}
	f.op("VCVTPH2PS %s, Y13", f.source(row, group, 0))
	f.op("VCVTPH2PS %s, Y14", f.source(row, group, 1))
	f.op("VADDPS Y13, %s, %s", e, e)
	f.op("VADDPS Y14, %s, %s", o, o)
	if f.kind.dst == 4 {
		return
	}
	f.op("VCVTPS2PH $0, %s, X13", e)
	f.op("VCVTPS2PH $0, %s, X14", o)
	f.op("VINSERTI128 $1, X14, Y13, %s", e)
}

// natural puts even and odd columns into their order.
func (avx2) natural(f *function, e, o string) {
	f.op("VUNPCKLPS %s, %s, Y13", o, e)
	f.op("VUNPCKHPS %s, %s, Y14", o, e)
	f.op("VPERM2F128 $0x20, Y14, Y13, %s", e)
	f.op("VPERM2F128 $0x31, Y14, Y13, %s", o)
}

// magnitude notes results without their signs.
func (avx2) magnitude(f *function, r string) {
	size := f.size()
	f.op("VPADD%s %s, %s, Y13", size, r, r)
	f.op("VPMAXU%s Y13, Y12, Y12", size)
}

func (f *function) size() string {
	if f.kind.dst == 4 {
		return "D"
	}
	return "W"
}

func (avx2) test(f *function) {
	limit := "avx2infHalf"
	switch {
	case f.kind.dst == 4:
		limit = "avx2inf"
	case f.kind.brain():
		limit = "avx2infBrain"
	}
	size := f.size()
	f.op("VPMAXU%s %s<>(SB), Y12, Y13", size, limit)
	f.op("VPCMPEQ%s Y13, Y12, Y13", size)
	f.op("VPTEST Y13, Y13")
	f.op("JNZ special")
}

func (avx2) data(e *emitter) {
	for _, c := range []struct {
		name string
		word uint32
	}{
		{"high", 0xffff0000}, {"one", 1}, {"bias", 0x7fff},
		{"inf", 0xff000000}, {"infBrain", 0xff00ff00}, {"infHalf", 0xf800f800},
	} {
		e.words("avx2"+c.name, eight(c.word)...)
	}
}

func eight(w uint32) []uint32 { return []uint32{w, w, w, w, w, w, w, w} }
