package single

import (
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// lora is LoRA of linear layers and of convolutions (LoCon).
func (p *parser) lora(l *layer) ([]transform.Edit, error) {
	a, b := l.tensors[roleDown], l.tensors[roleUp]
	rank := int64(0)
	if len(a.Shape) > 0 {
		rank = a.Shape[0]
	}
	scale, err := p.scale(l, rank)
	if err != nil {
		return nil, err
	}
	low := transform.LowRank{A: squeeze(a), B: squeeze(b), Scale: scale, Layer: transform.Conv}
	edits := []transform.Edit{l.edit("weight", low, roleDown, roleUp, roleAlpha)}
	if bias := l.tensors[roleUpBias]; bias != nil {
		edits = append(edits, l.edit("bias", transform.AddBias{Bias: bias, Scale: scale}, roleUpBias))
	}
	if scale == 0 || p.zero[a] || p.zero[b] {
		p.silent = append(p.silent, l.name())
	}
	return edits, nil
}

// squeeze drops the dimensions of size one behind the second: a factor of a 1×1
// convolution is one of a linear layer as well, and is found on either.
func squeeze(t *safetensors.Tensor) *safetensors.Tensor {
	for _, d := range t.Shape[min(2, len(t.Shape)):] {
		if d != 1 {
			return t
		}
	}
	if len(t.Shape) <= 2 {
		return t
	}
	flat := *t
	flat.Shape = t.Shape[:2]
	return &flat
}
