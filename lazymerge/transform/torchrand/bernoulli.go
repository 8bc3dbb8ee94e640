package torchrand

// Bernoulli is the next element of torch.bernoulli on a tensor of fp32 probabilities p
// (aten core/DistributionsHelper.h): 24 bits of a draw against p.
func (g *Generator) Bernoulli(p float32) bool {
	return float32(g.Uint32()&(1<<24-1))*(1.0/(1<<24)) < p
}
