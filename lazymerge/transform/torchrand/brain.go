package torchrand

import "math"

// UniformBrains is Uniform of a bfloat16 tensor: values are rounded, and those that
// come to the upper end are from instead.
func (g *Generator) UniformBrains(dst []float32, from, to float32) {
	g.Uniform(dst, from, to)
	from, to = Brain(from), Brain(to)
	for i, x := range dst {
		if dst[i] = Brain(x); dst[i] >= to {
			dst[i] = from
		}
	}
}

// Brain rounds a finite number to bfloat16, half to even.
func Brain(x float32) float32 {
	b := math.Float32bits(x)
	return math.Float32frombits((b + 0x7fff + b>>16&1) &^ 0xffff)
}
