//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// The features of package cpu count only where the operating system saves the
// registers (XCR0).
var (
	hasAVX512     = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW
	hasAVX512BF16 = hasAVX512 && cpu.X86.HasAVX512BF16
	hasAVX2       = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C
)

// assembled lists the tiers in assembly. VDPBF16PS is twice as fast as two fused
// multiply-adds on AMD's processors, and half as fast on Intel's.
func assembled() []*Tier {
	avx512 := avx512Shapes.tier("avx512", hasAVX512)
	bf16 := avx512Shapes.withQuad().tier("avx512bf16", hasAVX512BF16)
	avx2 := avx2Shapes.tier("avx2", hasAVX2)
	if amd() {
		return []*Tier{amx(), bf16, avx512, avx2}
	}
	return []*Tier{amx(), avx512, bf16, avx2}
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
