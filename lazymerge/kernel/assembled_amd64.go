//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// The features of package cpu count only where the operating system saves the
// registers (XCR0).
var (
	hasAVX2       = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C
	hasAVX512     = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW
	hasAVX512BF16 = hasAVX512 && cpu.X86.HasAVX512BF16
)

// assembled lists the tiers in assembly. VDPBF16PS is twice as fast as two fused
// multiply-adds on AMD's processors, and half as fast on Intel's.
func assembled() []*Tier {
	amd := amd()
	shapes512 := avx512Shapes
	shapes512.ahead = amd // Intel's fetch such rows by themselves, and lose 3 % by more
	avx512 := shapes512.tier("avx512", hasAVX512)
	bf16 := shapes512.withQuad().tier("avx512bf16", hasAVX512BF16)
	avx2 := avx2Shapes.tier("avx2", hasAVX2)
	tiers := []*Tier{amx(), avx512, bf16, avx2}
	if amd {
		tiers = []*Tier{amx(), bf16, avx512, avx2}
	}
	for _, t := range tiers {
		t.vectors = &avx2Vectors
	}
	return tiers
}

func (s shapes) withQuad() *shapes {
	s.quad, s.pairLeft, s.pairRight = avx512bf16Shapes.quad, avx512bf16PairLeft, avx512bf16PairRight
	return &s
}

// amd tells whether AMD made the processor.
func amd() bool {
	var name [12]byte
	vendor(&name)
	return string(name[:]) == "AuthenticAMD"
}

// vendor is what CPUID calls the maker.
//
//go:noescape
func vendor(name *[12]byte)

var avx2Vectors = vectors{
	load:    [...]func(*float32, *byte, int){vectorLoadBF16, vectorLoadF16, vectorLoadF32},
	store:   [...]func(*byte, *float32, int, float32) int{vectorStoreBF16, vectorStoreF16, vectorStoreF32},
	add:     [...]func(*byte, *byte, *float32, int, float32) int{vectorAddBF16, vectorAddF16, vectorAddF32},
	mul:     vectorMul,
	squares: vectorSquares,
	finite:  vectorFinite,
	product: vectorProduct,
	note:    vectorNote,
}
