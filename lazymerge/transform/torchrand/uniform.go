package torchrand

// float32 is the next draw of [0, 1) in steps of 2⁻²⁴.
func (g *Generator) float32() float64 { return float64(g.Uint32()&0xffffff) * 0x1p-24 }

// float64 is the next draw of [0, 1) in steps of 2⁻⁵³.
func (g *Generator) float64() float64 { return float64(g.Uint64()&(1<<53-1)) * 0x1p-53 }

// Uniform fills dst as torch.empty(len(dst)).uniform_(from, to) does. A tensor may be
// filled in parts (aten core/TransformationHelper.h, uniform_real).
func (g *Generator) Uniform(dst []float32, from, to float32) {
	width := float64(to - from)
	for i := range dst {
		dst[i] = float32(g.float32()*width + float64(from))
	}
}

// Skip passes over n draws of 32 bits.
func (g *Generator) Skip(n int64) {
	for n > 0 {
		if g.next == words {
			g.twist()
		}
		step := min(n, int64(words-g.next))
		g.next += int(step)
		n -= step
	}
}
