package single

import (
	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/transform"
)

// The formulas are those of LyCORIS' forward pass (modules/*.py @4.1.3). Its merge_to
// applies the scale of LoHa and LoKr twice.

// loha is the elementwise product of two low-rank products.
func (p *parser) loha(l *layer) ([]transform.Edit, error) {
	if l.has(roleHadaT1) != l.has(roleHadaT2) {
		return nil, p.missing(l, pick(l, roleHadaT1, roleHadaT2))
	}
	rank := rows(l.tensors[roleHada1B])
	scale, err := p.scale(l, rank)
	if err != nil {
		return nil, err
	}
	delta := transform.Hadamard{
		X: transform.Hada{A: l.tensors[roleHada1A], B: l.tensors[roleHada1B], T: l.tensors[roleHadaT1]}.Matrix(),
		Y: transform.Hada{A: l.tensors[roleHada2A], B: l.tensors[roleHada2B], T: l.tensors[roleHadaT2]}.Matrix(),
	}
	t := p.decompose(l, p.addition("loha", int(rank), delta, scale))
	return []transform.Edit{l.edit("weight", t)}, nil
}

// pick is the first role that the module lacks.
func pick(l *layer, roles ...role) role {
	for _, r := range roles {
		if !l.has(r) {
			return r
		}
	}
	return ""
}

// lokr is a Kronecker product, each factor whole or a product itself. Where both are
// whole the scale is 1, whatever alpha says.
func (p *parser) lokr(l *layer) ([]transform.Edit, error) {
	first, rank1, err := p.kronFactor(l, roleKron1, roleKron1A, roleKron1B, "")
	if err != nil {
		return nil, err
	}
	second, rank2, err := p.kronFactor(l, roleKron2, roleKron2A, roleKron2B, roleKronT2)
	if err != nil {
		return nil, err
	}
	rank, scale := max(rank1, rank2), 1.0
	if rank > 0 {
		if scale, err = p.scale(l, rank); err != nil {
			return nil, err
		}
	}
	t := p.decompose(l, p.addition("lokr", int(rank), transform.Kron{X: first, Y: second}, scale))
	return []transform.Edit{l.edit("weight", t)}, nil
}

// kronFactor is a factor of a Kronecker product and its rank, 0 of a whole one.
func (p *parser) kronFactor(l *layer, whole, a, b, core role) (transform.Matrix, int64, error) {
	t := l.tensors
	switch {
	case l.has(whole) && (l.has(a) || l.has(b) || core != "" && l.has(core)):
		return nil, 0, &peft.DuplicateTensorError{File: p.file.Path(), Tensors: [2]string{t[whole].Name, t[l.firstOf([]role{a, b, core})].Name}}
	case l.has(whole):
		return transform.Stored{Tensor: t[whole]}, 0, nil
	case !l.has(a) && !l.has(b):
		return nil, 0, p.missing(l, whole)
	case !l.has(a) || !l.has(b):
		return nil, 0, p.missing(l, pick(l, a, b))
	}
	rank := rows(t[b])
	if core != "" && l.has(core) {
		return transform.Hada{A: t[a], B: t[b], T: t[core]}.Matrix(), rank, nil
	}
	return transform.Product{Left: transform.Stored{Tensor: t[a]}, Right: transform.Stored{Tensor: t[b]}}, rank, nil
}

// glora adds a low-rank product and the weight times another.
func (p *parser) glora(l *layer) ([]transform.Edit, error) {
	rank := rows(l.tensors[roleA2])
	scale, err := p.scale(l, rank)
	if err != nil {
		return nil, err
	}
	var right transform.Matrix = transform.Stored{Tensor: l.tensors[roleB2]}
	if mid := l.tensors[roleBM]; mid != nil {
		right = transform.Core{T: mid, B: squeeze(l.tensors[roleB2])}
	}
	delta := transform.Product{Left: transform.Stored{Tensor: squeeze(l.tensors[roleB1])}, Right: right}
	t := transform.Weightwise{
		Addition: p.addition("glora", int(rank), delta, scale),
		A1:       squeeze(l.tensors[roleA1]), A2: squeeze(l.tensors[roleA2]),
	}
	return []transform.Edit{l.edit("weight", t)}, nil
}

// oft rotates outputs: Diag-OFT and BOFT, by the number of the blocks' dimensions. The
// alpha is the constraint; sd-scripts, whose prefix differs, always applies it.
func (p *parser) oft(l *layer) ([]transform.Edit, error) {
	t := transform.OutputRotation{Blocks: l.tensors[roleBlocks], Rescale: l.tensors[roleRescale], Always: l.flat && l.prefix[:3] == "oft"}
	if n := len(t.Blocks.Shape); n < 3 || n > 4 {
		return nil, &ValueError{File: p.file.Path(), Tensor: t.Blocks.Name, Reason: "three or four dimensions are expected"}
	}
	if alpha := l.tensors[roleAlpha]; alpha != nil {
		var err error
		if t.Constraint, err = p.scalar(alpha); err != nil {
			return nil, err
		}
	}
	if t.Always && !l.has(roleAlpha) {
		return nil, p.missing(l, roleAlpha)
	}
	return []transform.Edit{l.edit("weight", t)}, nil
}

// ia3 multiplies a layer's inputs or outputs.
func (p *parser) ia3(l *layer) ([]transform.Edit, error) {
	onInput, err := p.scalar(l.tensors[roleOnInput])
	if err != nil {
		return nil, err
	}
	t := transform.Scaling{By: l.tensors[roleIA3], Inputs: onInput != 0, Plus: 1}
	return []transform.Edit{l.edit("weight", t)}, nil
}

// full adds a whole tensor.
func (p *parser) full(l *layer) ([]transform.Edit, error) {
	d := l.tensors[roleDiff]
	if len(d.Shape) < 2 {
		return added("weight", roleDiff)(p, l)
	}
	t := p.addition("full", 0, transform.Stored{Tensor: d}, 1)
	return []transform.Edit{l.edit("weight", t)}, nil
}

// added adds a vector to a norm's weight or to a bias.
func added(param string, r role) func(*parser, *layer) ([]transform.Edit, error) {
	return func(_ *parser, l *layer) ([]transform.Edit, error) {
		return []transform.Edit{l.edit(param, transform.AddBias{Bias: l.tensors[r], Scale: 1})}, nil
	}
}

// set replaces a weight (ComfyUI).
func (p *parser) set(l *layer) ([]transform.Edit, error) {
	return []transform.Edit{l.edit("weight", transform.Replace{Value: l.tensors[roleSet]})}, nil
}
