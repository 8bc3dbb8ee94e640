package single

import (
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// rows is the first dimension of a tensor, for a rank.
func rows(t *safetensors.Tensor) int64 {
	if t == nil || len(t.Shape) == 0 {
		return 0
	}
	return t.Shape[0]
}

// lora is LoRA of linear layers and of convolutions (LoCon), with a core (lora_mid) in
// its Tucker form. DyLoRA saves the same tensors and is used at its full rank.
func (p *parser) lora(l *layer) ([]transform.Edit, error) {
	a, b := l.tensors[roleDown], l.tensors[roleUp]
	scale, err := p.scale(l, rows(a))
	if err != nil {
		return nil, err
	}
	edits := []transform.Edit{l.edit("weight", p.lowRank(l, scale))}
	if bias := l.tensors[roleUpBias]; bias != nil {
		e := l.edit("bias", transform.AddBias{Bias: bias, Scale: scale})
		e.Keys = []string{bias.Name}
		edits = append(edits, e)
	}
	if !l.has(roleMagnitude) && !l.has(rolePEFTMagnitude) && (scale == 0 || p.zero[a] || p.zero[b]) {
		p.silent = append(p.silent, l.name())
	}
	return edits, nil
}

func (p *parser) lowRank(l *layer, scale float64) transform.Transform {
	a, b := squeeze(l.tensors[roleDown]), squeeze(l.tensors[roleUp])
	low := transform.LowRank{A: a, B: b, Scale: scale, Layer: transform.Conv}
	mid, magnitude := l.tensors[roleMid], l.tensors[roleMagnitude]
	switch {
	case l.has(rolePEFTMagnitude):
		return transform.DoRA{LowRank: low, Magnitude: l.tensors[rolePEFTMagnitude]}
	case mid == nil && magnitude == nil:
		return low
	}
	var right transform.Matrix = transform.Stored{Tensor: a}
	if mid != nil {
		right = transform.Core{T: mid, B: a}
	}
	if magnitude == nil {
		return transform.Factors{Type: "lora", A: right, B: transform.Stored{Tensor: b}, Scale: scale, Class: transform.SingleDouble}
	}
	delta := transform.Product{Left: transform.Stored{Tensor: b}, Right: right}
	return p.decompose(l, p.addition("lora", int(rows(a)), delta, scale))
}

// addition is a delta as all algorithms add it.
func (p *parser) addition(kind string, rank int, delta transform.Matrix, scale float64) transform.Addition {
	return transform.Addition{Type: kind, Rank: rank, Delta: delta, Scale: scale, Class: transform.SingleDouble}
}

// decompose applies a module's dora_scale.
func (p *parser) decompose(l *layer, a transform.Addition) transform.Transform {
	if m := l.tensors[roleMagnitude]; m != nil {
		return transform.Decomposed{Addition: a, Magnitude: m}
	}
	return a
}

// squeeze drops the dimensions of size one behind the second: a factor of a 1×1
// convolution is one of a linear layer as well, and is found on either.
func squeeze(t *safetensors.Tensor) *safetensors.Tensor {
	if len(t.Shape) <= 2 {
		return t
	}
	for _, d := range t.Shape[2:] {
		if d != 1 {
			return t
		}
	}
	flat := *t
	flat.Shape = t.Shape[:2]
	return &flat
}
