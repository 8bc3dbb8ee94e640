package peft

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// layer is a module with an adapter.
type layer struct {
	module  string
	pattern string // name that rank_pattern and alpha_pattern see
	outProj bool
	depth   int  // of nested adapters of parameters
	stacked bool // for parameters of the module, not for a layer
	tensors map[role]*safetensors.Tensor
}

func (p *parser) collectLayer(k tensorKey, t *safetensors.Tensor) error {
	l := p.byName[k.module]
	if l == nil {
		l = &layer{module: k.module, pattern: k.module, depth: k.depth, tensors: make(map[role]*safetensors.Tensor)}
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

// addLayers makes the edits of the modules, then those of their biases.
func (p *parser) addLayers() error {
	var biases []transform.Edit
	var silent []string
	for _, l := range p.layers {
		edits, err := p.config.own.edits(p, l)
		if err != nil {
			return err
		}
		if len(edits) > 0 && !slices.ContainsFunc(edits, func(e transform.Edit) bool { return !p.silent(e.Transform) }) {
			silent = append(silent, l.module)
		}
		for _, e := range edits {
			if err := p.checkTensors(l, e.Transform); err != nil {
				return err
			}
			if e.Param == "bias" {
				biases = append(biases, e)
			} else {
				p.add(e)
			}
			for _, key := range e.Keys {
				p.used[key] = true
			}
		}
	}
	p.recipe.Edits = append(p.recipe.Edits, biases...)
	if s, ok := p.config.own.(spreader); ok {
		all, err := s.everywhere(p)
		if err != nil {
			return err
		}
		p.recipe.Everywhere = all
	}
	p.warnSilent(silent)
	return p.checkUsed()
}

// checkUsed looks for tensors that the type has names for and no edit took.
func (p *parser) checkUsed() error {
	var left []string
	note := func(tensors map[role]*safetensors.Tensor) {
		for _, t := range tensors {
			if !p.used[t.Name] {
				left = append(left, t.Name)
			}
		}
	}
	note(p.shared)
	for _, l := range p.layers {
		note(l.tensors)
	}
	slices.Sort(left)
	return p.leftOver(left)
}

// edit is a transform of a parameter of the module.
func (l *layer) edit(param string, t transform.Transform) transform.Edit {
	e := transform.Edit{Module: l.module, Param: param, Transform: t}
	for _, x := range t.Tensors() {
		e.Keys = append(e.Keys, x.Name)
	}
	return e
}

// need is the module's tensors of the roles. Errors: *MissingTensorError.
func (p *parser) need(l *layer, roles ...role) ([]*safetensors.Tensor, error) {
	var found []*safetensors.Tensor
	for _, r := range roles {
		t := l.tensors[r]
		if t == nil {
			return nil, p.missing(l, r)
		}
		found = append(found, t)
	}
	return found, nil
}

// needShared is need for tensors of all modules.
func (p *parser) needShared(l *layer, roles ...role) ([]*safetensors.Tensor, error) {
	var found []*safetensors.Tensor
	for _, r := range roles {
		t := p.shared[r]
		if t == nil {
			return nil, &MissingTensorError{File: p.file.Path(), Module: "base_model", Want: string(r), Have: held(l)}
		}
		found = append(found, t)
	}
	return found, nil
}

// unsaved refuses tensors of all modules that the config says were not saved: PEFT
// draws them and passes over the file's. Errors: *FieldError.
func (p *parser) unsaved(field string, roles ...role) error {
	for _, r := range roles {
		if t := p.shared[r]; t != nil {
			return &FieldError{Path: p.config.Path, Field: field, Value: "false", Reason: fmt.Sprintf("but the weights hold %q", t.Name)}
		}
	}
	return nil
}

// checkRank holds a dimension of a tensor against the rank of the config and the field
// that says so. Errors: *RankError.
func (p *parser) checkRank(l *layer, t *safetensors.Tensor, dim int, rank int64, field string) error {
	got := int64(0)
	if len(t.Shape) > dim {
		got = t.Shape[dim]
	}
	if got == rank {
		return nil
	}
	return &RankError{File: p.file.Path(), Tensor: t.Name, Module: l.module, Field: field, Config: rank, Got: got, Shape: t.Shape}
}

// checkTensors finds what is wrong with a module's tensors whatever the base. Errors:
// *ModuleError.
func (p *parser) checkTensors(l *layer, t transform.Transform) error {
	if err := transform.Check(t); err != nil {
		return &ModuleError{File: p.file.Path(), Module: l.module, Err: err}
	}
	return nil
}

func (p *parser) missing(l *layer, want role) error {
	return &MissingTensorError{File: p.file.Path(), Module: l.module, Want: string(want), Have: held(l), Lone: p.lone(l)}
}

func held(l *layer) []string {
	var have []string
	for _, t := range l.tensors {
		have = append(have, t.Name)
	}
	slices.Sort(have)
	return have
}

// lone lists the tensors of other modules that lack a counterpart: a renamed tensor
// leaves two of them.
func (p *parser) lone(except *layer) []string {
	if p.probing {
		return nil
	}
	p.probing = true
	defer func() { p.probing = false }()
	var keys []string
	for _, l := range p.layers {
		if l == except {
			continue
		}
		_, err := p.config.own.edits(p, l)
		var missing *MissingTensorError
		if errors.As(err, &missing) {
			keys = append(keys, missing.Have...)
		}
	}
	return keys
}

// silent tells whether a transform changes nothing. DoRA may still scale.
func (p *parser) silent(t transform.Transform) bool {
	switch t := t.(type) {
	case transform.LowRank:
		return t.Scale == 0 || p.scan.zero[t.A] || p.scan.zero[t.B]
	case transform.AddBias:
		return t.Scale == 0 || p.scan.zero[t.Bias]
	case transform.Ranged:
		added, times := t.Range(func(x *safetensors.Tensor) float64 {
			if p.scan.zero[x] {
				return 0
			}
			return 1
		})
		return added == 0 && times == 1
	}
	return false
}

func (p *parser) warnSilent(modules []string) {
	switch n := len(modules); {
	case n == 0:
	case n == len(p.layers) && (len(p.full) > 0 || len(p.tokens) > 0):
		p.warn(transform.UntrainedPart, modules[0], "the change of every module is zero; only whole parameters and tokens change")
	case n == len(p.layers):
		p.warn(transform.Untrained, modules[0], "the change of every module is zero, as of an adapter that was not trained: these %d modules stay the base's", n)
	default:
		p.warn(transform.UntrainedPart, modules[0], "the change of %d of %d modules is zero: %s", n, len(p.layers), shortList(modules))
	}
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
