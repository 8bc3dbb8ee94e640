package main

import (
	"fmt"
)

// avx2 needs AVX2, FMA and F16C. Y12 to Y15 are temporary; while a tile is finished,
// Y12 and Y15 collect what its test needs.
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
	f.op("VBROADCASTSS %d(DI), Y15", callScale)
	f.scale("Y15")
	f.op("VPXOR Y12, Y12, Y12")
	if f.kind.rounds() {
		f.op("VPCMPEQD Y15, Y15, Y15")
	}
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
		f.op("VADDPS %s, %s, %s", f.weights(row, group, 0), e, e)
		f.op("VADDPS %s, %s, %s", f.weights(row, group, 1), o, o)
	}
	if f.kind.rounds() {
		return
	}
	s.magnitude(f, e)
	if f.kind.dst == 4 {
		s.magnitude(f, o)
	}
}

// brain adds a line of bf16 like that of avx512. Y12 collects the bits of all results,
// Y15 the least of all halves of words.
func (s avx2) brain(f *function, row, group int, e, o string) {
	if f.kind.twice {
		for _, r := range []string{e, o} {
			s.round(f, r)
			f.op("VPAND avx2high<>(SB), %s, %s", r, r)
		}
	}
	f.op("VMOVDQU %s, Y13", f.weights(row, group, 0))
	f.op("VPSLLD $16, Y13, Y14")
	f.op("VPAND avx2high<>(SB), Y13, Y13")
	f.op("VADDPS Y14, %s, %s", e, e)
	f.op("VADDPS Y13, %s, %s", o, o)
	if f.kind.dst == 4 {
		s.natural(f, e, o)
		return
	}
	for _, r := range []string{e, o} {
		f.op("VPADDD avx2half<>(SB), %s, %s", r, r)
		f.op("VPMINUW %s, Y15, Y15", r)
		f.op("VPOR %s, Y12, Y12", r)
	}
}

// round puts the nearest bf16 into the high halves.
func (avx2) round(f *function, r string) {
	f.op("VPSRLD $16, %s, Y13", r)
	f.op("VPAND avx2one<>(SB), Y13, Y13")
	f.op("VPADDD avx2bias<>(SB), %s, %s", r, r)
	f.op("VPADDD Y13, %s, %s", r, r)
}

// exact turns a tie that was rounded to an odd number to the even one below, and finds
// results that are not finite.
func (s avx2) exact(f *function) {
	f.op("VPXOR Y12, Y12, Y12")
	f.op("VPXOR Y15, Y15, Y15")
	f.each(func(_ int, r string) {
		f.op("VPSLLD $16, %s, Y13", r)
		f.op("VPCMPEQD Y15, Y13, Y13")
		f.op("VPAND avx2odd<>(SB), Y13, Y13")
		f.op("VPANDN %s, Y13, %s", r, r)
		f.op("VPADDD %s, %s, Y13", r, r)
		f.op("VPMAXUD Y13, Y12, Y12")
	})
	f.op("VPMAXUD avx2inf<>(SB), Y12, Y13")
	f.op("VPCMPEQD Y13, Y12, Y13")
	f.op("VPTEST Y13, Y13")
}

// pack joins the halves of a line of bf16.
func (avx2) pack(f *function, e, o string) {
	f.op("VPSRLD $16, %s, %s", e, e)
	f.op("VPBLENDW $0xaa, %s, %s, %s", o, e, e)
}

func (avx2) half(f *function, row, group int, e, o string) {
	if f.kind.twice {
		for _, r := range []string{e, o} {
			f.op("VCVTPS2PH $0, %s, X13", r)
			f.op("VCVTPH2PS X13, %s", r)
		}
	}
	f.op("VCVTPH2PS %s, Y13", f.weights(row, group, 0))
	f.op("VCVTPH2PS %s, Y14", f.weights(row, group, 1))
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

// test is like that of avx512.
func (avx2) test(f *function) {
	if f.kind.rounds() {
		f.op("VPXOR Y13, Y13, Y13")
		f.op("VPCMPEQW Y13, Y15, Y15")
		f.op("VPAND avx2two<>(SB), Y12, Y12")
		f.op("VPOR Y15, Y12, Y12")
		f.op("VPTEST Y12, Y12")
		return
	}
	size, limit := "W", "avx2infHalf"
	if f.kind.dst == 4 {
		size, limit = "D", "avx2inf"
	}
	f.op("VPMAXU%s %s<>(SB), Y12, Y13", size, limit)
	f.op("VPCMPEQ%s Y13, Y12, Y13", size)
	f.op("VPTEST Y13, Y13")
}

func (avx2) data(e *emitter) {
	for _, c := range []struct {
		name string
		word uint32
	}{
		{"high", 0xffff0000}, {"one", 1}, {"bias", 0x7fff}, {"half", 0x8000}, {"odd", 0x10000},
		{"two", 0x40000000}, {"inf", 0xff000000}, {"infHalf", 0xf800f800},
	} {
		e.words("avx2"+c.name, eight(c.word)...)
	}
}

func eight(w uint32) []uint32 { return []uint32{w, w, w, w, w, w, w, w} }
