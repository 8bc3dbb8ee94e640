package peft

import (
	"fmt"
	"maps"
	"slices"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// layer is a module with a low-rank adapter.
type layer struct {
	module  string
	pattern string // name that rank_pattern and alpha_pattern see
	outProj bool
	tensors map[role]*safetensors.Tensor
}

func (p *parser) collectLayer(k tensorKey, t *safetensors.Tensor) error {
	l := p.byName[k.module]
	if l == nil {
		l = &layer{module: k.module, pattern: k.module, tensors: make(map[role]*safetensors.Tensor)}
		p.byName[k.module] = l
		p.layers = append(p.layers, l)
	}
	if k.outProj {
		// PEFT makes the adapter of out_proj with the settings of the attention module.
		l.outProj, l.pattern = true, k.owner
		p.heads[k.owner] = true
	}
	if first := l.tensors[k.role]; first != nil {
		return p.same(first, t)
	}
	l.tensors[k.role] = t
	return nil
}

// addLayers makes the edits of the low-rank adapters, then those of their biases.
func (p *parser) addLayers() error {
	var biases []transform.Edit
	var silent []string
	for _, l := range p.layers {
		e, low, err := p.layerEdit(l)
		if err != nil {
			return err
		}
		p.add(e)
		if p.silent(low, e.Transform) {
			silent = append(silent, l.module)
		}
		if b := l.tensors[roleBiasB]; b != nil {
			biases = append(biases, transform.Edit{
				Module: l.module, Param: "bias", Keys: []string{b.Name},
				Transform: transform.AddBias{Bias: b, Scale: low.Scale},
			})
		}
	}
	p.recipe.Edits = append(p.recipe.Edits, biases...)
	p.warnSilent(silent)
	return nil
}

// layerEdit makes the edit of one module. Errors: *MissingTensorError,
// *DuplicateTensorError, *FieldError, *RankError.
func (p *parser) layerEdit(l *layer) (transform.Edit, transform.LowRank, error) {
	low, err := p.lowRank(l)
	if err != nil {
		return transform.Edit{}, low, err
	}
	e := transform.Edit{Module: l.module, Param: "weight", Keys: []string{low.A.Name, low.B.Name}, Transform: low}
	switch low.Layer {
	case transform.InProj:
		e.Param = "in_proj_weight"
	case transform.Linear:
		// An attention module whose out_proj has no adapter in the file.
		e.Alt = []string{"in_proj_weight"}
	}
	if m := l.tensors[roleMagnitude]; m != nil {
		e.Transform = transform.DoRA{LowRank: low, Magnitude: m}
		e.Keys = append(e.Keys, m.Name)
	}
	return e, low, p.checkExtras(l)
}

func (p *parser) lowRank(l *layer) (transform.LowRank, error) {
	low := transform.LowRank{A: l.tensors[roleA], B: l.tensors[roleB], MiCA: p.config.LoRA.MiCA}
	embA, embB := l.tensors[roleEmbeddingA], l.tensors[roleEmbeddingB]
	wantA, wantB := roleA, roleB
	switch {
	case embA == nil && embB == nil:
		low.Layer = p.kind(l)
	case low.A == nil && low.B == nil:
		low.A, low.B, low.Layer = embA, embB, transform.Embedding
		wantA, wantB = roleEmbeddingA, roleEmbeddingB
	default:
		return low, &DuplicateTensorError{File: p.file.Path(), Tensors: [2]string{
			firstOf(low.A, low.B).Name, firstOf(embA, embB).Name}}
	}
	if low.A == nil {
		return low, p.missing(l, wantA)
	}
	if low.B == nil {
		return low, p.missing(l, wantB)
	}
	rank, err := p.checkRank(l, low.A)
	if err != nil {
		return low, err
	}
	low.Scale, err = p.scales.scaling(l.pattern, rank)
	return low, err
}

func (p *parser) kind(l *layer) transform.Kind {
	a := l.tensors[roleA]
	switch {
	case l.outProj:
		return transform.OutProj
	case p.heads[l.module]:
		return transform.InProj
	case a != nil && len(a.Shape) > 2:
		return transform.Conv
	}
	return transform.Linear
}

func (p *parser) checkRank(l *layer, a *safetensors.Tensor) (int64, error) {
	rank, field, err := p.scales.rank(l.pattern)
	if err != nil {
		return 0, err
	}
	if len(a.Shape) == 0 || a.Shape[0] != rank {
		var got int64
		if len(a.Shape) > 0 {
			got = a.Shape[0]
		}
		return 0, &RankError{File: p.file.Path(), Tensor: a.Name, Module: l.module, Field: field, Config: rank, Got: got}
	}
	return rank, nil
}

// checkExtras holds the tensors beside A and B against the config: PEFT creates
// them by the config and drops others without a word.
func (p *parser) checkExtras(l *layer) error {
	c := p.config.LoRA
	for _, x := range []struct {
		role  role
		on    bool
		field string
	}{
		{roleMagnitude, c.DoRA, "use_dora"},
		{roleBiasB, c.LoRABias, "lora_bias"},
	} {
		t := l.tensors[x.role]
		switch {
		case x.on && t == nil:
			return p.missing(l, x.role)
		case !x.on && t != nil:
			return &FieldError{Path: p.config.Path, Field: x.field, Value: "false", Reason: fmt.Sprintf("but the weights hold %q", t.Name)}
		}
	}
	return nil
}

func (p *parser) missing(l *layer, want role) error {
	var have []string
	for _, t := range l.tensors {
		have = append(have, t.Name)
	}
	slices.Sort(have)
	return &MissingTensorError{File: p.file.Path(), Module: l.module, Want: want.String(), Have: have, Lone: p.lone(l)}
}

// lone lists the factors of other modules that stand alone: a renamed tensor leaves
// two of them.
func (p *parser) lone(except *layer) []string {
	var keys []string
	for _, l := range p.layers {
		for _, pair := range [][2]role{{roleA, roleB}, {roleEmbeddingA, roleEmbeddingB}} {
			a, b := l.tensors[pair[0]], l.tensors[pair[1]]
			switch {
			case l == except:
			case a != nil && b == nil:
				keys = append(keys, a.Name)
			case a == nil && b != nil:
				keys = append(keys, b.Name)
			}
		}
	}
	return keys
}

// silent tells whether the delta is zero. DoRA may still scale.
func (p *parser) silent(low transform.LowRank, t transform.Transform) bool {
	if _, ok := t.(transform.LowRank); !ok {
		return false
	}
	return low.Scale == 0 || p.scan.zero[low.A] || p.scan.zero[low.B]
}

func (p *parser) warnSilent(modules []string) {
	switch n := len(modules); {
	case n == 0:
	case n == len(p.layers):
		p.warn("the low-rank change of every module is zero, as of an adapter that was not trained: these %d modules stay the base's", n)
	default:
		p.warn("the low-rank change of %d of %d modules is zero: %s", n, len(p.layers), shortList(modules))
	}
}

func firstOf(a, b *safetensors.Tensor) *safetensors.Tensor {
	if a != nil {
		return a
	}
	return b
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
