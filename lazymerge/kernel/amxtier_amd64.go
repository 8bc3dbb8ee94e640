//go:build !purego

package kernel

import (
	"sync"

	"golang.org/x/sys/cpu"
)

// amx is the tier of Intel's matrix unit. It shares with avx512 the rows that tiles
// are not for.
func amx() *Tier {
	s := avx512Shapes.withMatrix()
	t := s.tier("amx", hasAVX512)
	right := t.Available
	t.Available = sync.OnceValue(func() bool { return amxAllowed() && right() && s.rightAt(2*step+3) && s.rightAt(wideSteps*step+3) })
	return t
}

func (s shapes) withMatrix() *shapes {
	s.matrix = &amxMatrix
	return &s
}

// hasAMX tells whether the processor has the instructions and the system saves the
// tiles. The features of package cpu do not cover the latter.
func hasAMX() bool {
	const tileConfig, tileData = 1 << 17, 1 << 18
	return cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16 && cpu.X86.HasOSXSAVE &&
		xcr0()&(tileConfig|tileData) == tileConfig|tileData
}

// amxAllowed asks the system for the use of tiles, without which the first one raises
// SIGILL, where there are any. The answer holds for the process.
var amxAllowed = func() bool { return hasAMX() && permitTiles() == nil }

// xcr0 is the register that tells which state the system saves.
func xcr0() uint64
