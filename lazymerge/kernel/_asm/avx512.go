package main

import "fmt"

// avx512 needs F and BW. Z24 to Z28 are temporary; while a tile is finished, Z24 and
// Z25 collect what its test needs. Z29 holds the scale, Z30 0x8000, Z31 0xffff0000.
type avx512 struct{}

func (avx512) name() string     { return "avx512" }
func (avx512) arch() string     { return "amd64" }
func (avx512) lanes() int       { return 16 }
func (avx512) reg(i int) string { return fmt.Sprintf("Z%d", i) }

func (avx512) shapes() []shape {
	return []shape{{"Chain", 6, 2}, {"Chain", 1, 2}, {"Pair", 6, 1}, {"Pair", 1, 1}}
}

func (avx512) persist(f *function) {
	f.op("VBROADCASTSS %d(DI), Z29", callScale)
	f.op("VPBROADCASTD avx512words<>+0(SB), Z30")
	f.op("VPBROADCASTD avx512words<>+4(SB), Z31")
}

func (avx512) begin(f *function) {
	f.scale("Z29")
	f.op("VPXORD Z24, Z24, Z24")
	if f.kind.rounds() {
		f.op("VPTERNLOGD $0xff, Z25, Z25, Z25")
	}
}

func (s avx512) finish(f *function, row, group int) {
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

// brain adds a line of bf16. Rounding adds half a unit in the last place, which is
// right but where the sum lay in the middle: exact sees to that. Z24 collects the bits
// of all results, Z25 the least of all halves of words: that of a tie is zero.
func (s avx512) brain(f *function, row, group int, e, o string) {
	if f.kind.twice {
		s.round(f, e)
		s.round(f, o)
	}
	f.op("VPSLLD $16, %s, Z26", f.weights(row, group, 0))
	f.op("VPANDD %s, Z31, Z27", f.weights(row, group, 0))
	f.op("VADDPS Z26, %s, %s", e, e)
	f.op("VADDPS Z27, %s, %s", o, o)
	if f.kind.dst == 4 {
		s.natural(f, e, o)
		return
	}
	f.op("VPADDD Z30, %s, %s", e, e)
	f.op("VPADDD Z30, %s, %s", o, o)
	f.op("VPMINUW %s, Z25, Z25", e)
	f.op("VPMINUW %s, Z25, Z25", o)
	f.op("VPTERNLOGD $0xfe, %s, %s, Z24", e, o)
}

// round makes r the nearest bf16.
func (avx512) round(f *function, r string) {
	f.op("VPTESTMD.BCST avx512words<>+8(SB), %s, K1", r)
	f.op("VPADDD.BCST avx512words<>+24(SB), %s, %s", r, r)
	f.op("VPADDD.BCST avx512words<>+12(SB), %s, K1, %s", r, r)
	f.op("VPANDD Z31, %s, %s", r, r)
}

// exact turns a tie that was rounded to an odd number to the even one below, and finds
// results that are not finite.
func (avx512) exact(f *function) {
	f.op("VPXORD Z24, Z24, Z24")
	f.each(func(_ int, r string) {
		f.op("VPTESTNMD.BCST avx512words<>+28(SB), %s, K1", r)
		f.op("VPANDD.BCST avx512words<>+32(SB), %s, K1, %s", r, r)
		f.op("VPADDD %s, %s, Z28", r, r)
		f.op("VPMAXUD Z28, Z24, Z24")
	})
	f.op("VPCMPUD.BCST $5, avx512words<>+16(SB), Z24, K1")
	f.op("KORTESTW K1, K1")
}

// pack joins the halves of a line of bf16.
func (avx512) pack(f *function, e, o string) {
	f.op("VPSRLD $16, %s, %s", e, e)
	f.op("VPTERNLOGD $0xd8, Z31, %s, %s", o, e) // high halves from o
}

func (avx512) half(f *function, row, group int, e, o string) {
	if f.kind.twice {
		for _, r := range []string{e, o} {
			f.op("VCVTPS2PH $0, %s, Y25", r)
			f.op("VCVTPH2PS Y25, %s", r)
		}
	}
	f.op("VCVTPH2PS %s, Z25", f.weights(row, group, 0))
	f.op("VCVTPH2PS %s, Z26", f.weights(row, group, 1))
	f.op("VADDPS Z25, %s, %s", e, e)
	f.op("VADDPS Z26, %s, %s", o, o)
	if f.kind.dst == 4 {
		return
	}
	f.op("VCVTPS2PH $0, %s, Y25", e)
	f.op("VCVTPS2PH $0, %s, Y26", o)
	f.op("VINSERTI64X4 $1, Y26, Z25, %s", e)
}

// natural puts even and odd columns into their order.
func (avx512) natural(f *function, e, o string) {
	f.op("VMOVDQU32 avx512low<>(SB), Z27")
	f.op("VMOVDQU32 avx512high<>(SB), Z28")
	f.op("VPERMI2PS %s, %s, Z27", o, e)
	f.op("VPERMI2PS %s, %s, Z28", o, e)
	f.op("VMOVAPS Z27, %s", e)
	f.op("VMOVAPS Z28, %s", o)
}

// magnitude notes results without their signs.
func (avx512) magnitude(f *function, r string) {
	size := "W"
	if f.kind.dst == 4 {
		size = "D"
	}
	f.op("VPADD%s %s, %s, Z28", size, r, r)
	f.op("VPMAXU%s Z28, Z24, Z24", size)
}

// test finds results that are not finite. Of rounded bf16 it finds those from 2 on,
// and halves that are zero, and leaves the rest to exact.
func (avx512) test(f *function) {
	switch {
	case f.kind.rounds():
		f.op("VPTESTMD.BCST avx512words<>+36(SB), Z24, K1")
		f.op("VPTESTNMW Z25, Z25, K2")
		f.op("KORTESTD K1, K2")
	case f.kind.dst == 4:
		f.op("VPCMPUD.BCST $5, avx512words<>+16(SB), Z24, K1")
		f.op("KORTESTW K1, K1")
	default:
		f.op("VPBROADCASTD avx512words<>+20(SB), Z25")
		f.op("VPCMPUW $5, Z25, Z24, K1")
		f.op("KORTESTD K1, K1")
	}
}

func (avx512) data(e *emitter) {
	e.words("avx512words", 0x8000, 0xffff0000, 0x10000, 1, 0xff000000, 0xf800f800,
		0x7fff, 0xffff, 0xfffeffff, 0x40000000)
	var low, high []uint32
	for i := range uint32(8) {
		low = append(low, i, i+16)
		high = append(high, i+8, i+24)
	}
	e.words("avx512low", low...)
	e.words("avx512high", high...)
}

// words prints a constant.
func (e *emitter) words(name string, words ...uint32) {
	for i, w := range words {
		fmt.Fprintf(e, "DATA %s<>+%d(SB)/4, $%#x\n", name, 4*i, w)
	}
	fmt.Fprintf(e, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n\n", name, 4*len(words))
}
