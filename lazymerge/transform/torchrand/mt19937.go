// Package torchrand draws the numbers that torch draws on a CPU from a seeded
// generator.
package torchrand

// Generator is torch.Generator().manual_seed(seed): the Mersenne Twister MT19937
// (Matsumoto and Nishimura 1998), seeded with the low 32 bits.
type Generator struct {
	state [words]uint32
	next  int
}

const (
	words = 624
	shift = 397
)

// New seeds a generator. A negative seed is torch's, by its two's complement.
func New(seed int64) *Generator {
	g := &Generator{next: words}
	g.state[0] = uint32(seed)
	for i := 1; i < words; i++ {
		g.state[i] = 1812433253*(g.state[i-1]^g.state[i-1]>>30) + uint32(i)
	}
	return g
}

// Uint32 is the next draw.
func (g *Generator) Uint32() uint32 {
	if g.next == words {
		g.twist()
	}
	y := g.state[g.next]
	g.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// Uint64 is the next two draws, the first of them on top.
func (g *Generator) Uint64() uint64 {
	high := g.Uint32()
	return uint64(high)<<32 | uint64(g.Uint32())
}

func (g *Generator) twist() {
	for i := range g.state {
		y := g.state[i]&0x80000000 | g.state[(i+1)%words]&0x7fffffff
		g.state[i] = g.state[(i+shift)%words] ^ y>>1 ^ (y & 1 * 0x9908b0df)
	}
	g.next = 0
}
