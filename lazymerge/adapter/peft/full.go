package peft

import (
	"slices"
	"strings"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// fullTensor is a whole parameter in the adapter's file.
type fullTensor struct {
	tensorKey
	tensor *safetensors.Tensor
}

// fullPlace is what a whole parameter replaces; a module trained as a whole comes
// after the base under it.
type fullPlace struct {
	module, param string
	base          bool
}

func (p *parser) collectFull(k tensorKey, t *safetensors.Tensor) error {
	k.saved = !k.base && (k.saved || p.isSaved(k.module))
	place := fullPlace{k.module, k.param, k.base}
	if first := p.places[place]; first != nil {
		// PEFT writes the copy of a module to save a second time, under the
		// wrapper's name, when it also saves the embeddings or all biases.
		return p.same(first, t)
	}
	p.places[place] = t
	p.full = append(p.full, fullTensor{tensorKey: k, tensor: t})
	return nil
}

// isSaved tells whether the parameter of a module belongs to modules_to_save: PEFT
// takes every module whose name ends with an entry, without regard to dots, and all
// below it (peft utils/other.py:1088 @0.21.2).
func (p *parser) isSaved(module string) bool {
	return p.savedBy(module) != ""
}

func (p *parser) savedBy(module string) string {
	for path := module; path != ""; {
		for _, name := range p.config.savedModules() {
			if name != "" && strings.HasSuffix(path, name) {
				return name
			}
		}
		dot := strings.LastIndexByte(path, '.')
		if dot < 0 {
			return ""
		}
		path = path[:dot]
	}
	return ""
}

// addFull makes the edits that replace whole parameters: first those that change the
// base under all modules that share it, then those of modules trained as a whole. Errors:
// *WholeModelError.
func (p *parser) addFull() error {
	var unlisted []string
	for _, f := range p.full {
		if f.saved {
			continue
		}
		p.add(replaceEdit(f, transform.Shared))
		if !p.expected(f) {
			unlisted = append(unlisted, f.tensor.Name)
		}
	}
	scope := transform.Own
	if p.config.tiesSaved() {
		scope = transform.Shared
	}
	for _, f := range p.full {
		if f.saved {
			e := replaceEdit(f, scope)
			e.Adds = true
			p.add(e)
		}
	}
	if err := p.checkAdapts(); err != nil {
		return err
	}
	if len(unlisted) > 0 {
		p.warn(transform.WholeUnlisted, unlisted[0], "%d whole parameters replace the base's although the config does not list their modules: %s", len(unlisted), shortList(unlisted))
	}
	return nil
}

// checkAdapts refuses files that hold nothing but parameters that no config of an adapter
// would have PEFT save.
func (p *parser) checkAdapts() error {
	if len(p.layers) > 0 || len(p.tokens) > 0 || len(p.shared) > 0 {
		return nil
	}
	var names []string
	for _, f := range p.full {
		vocabulary := slices.Contains(Vocabularies, component(f.module))
		switch {
		case vocabulary: // which models have as well
		case f.saved, p.trainedBias(f), !f.base && p.expected(f):
			return nil
		default:
			names = append(names, f.tensor.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &WholeModelError{File: p.file.Path(), Tensors: names}
}

func replaceEdit(f fullTensor, scope transform.Scope) transform.Edit {
	return transform.Edit{
		Module: f.module, Param: f.param, Scope: scope, Keys: []string{f.tensor.Name},
		Transform: transform.Replace{Value: f.tensor},
	}
}

// embeddings are PEFT's EMBEDDING_LAYER_NAMES.
var embeddings = []string{"embed_tokens", "lm_head"}

// Vocabularies are modules with a row for each token, which PEFT saves whole when they
// are adapted or resized: embeddings, and those of other architectures.
var Vocabularies = append([]string{"wte", "word_embeddings", "embed_in", "embed_out", "shared", "tok_embeddings", "output"}, embeddings...)

// expected tells whether PEFT is known to save such a tensor of its own accord. It
// loads every parameter that the model has, so the others count as well.
func (p *parser) expected(f fullTensor) bool {
	return p.trainedBias(f) || f.base || slices.Contains(Vocabularies, component(f.module))
}

// trainedBias tells whether the tensor is a bias and the config has biases trained.
func (p *parser) trainedBias(f fullTensor) bool {
	return f.param == "bias" && p.config.Bias != "" && p.config.Bias != "none"
}

// headNames are the modules that PEFT lists for a task by itself; a model has one.
var headNames = []string{"classifier", "score", "qa_outputs"}

// checkSaved looks for the tensors of modules_to_save. PEFT passes over names that
// the base has no module of, so the missing ones are for the base to judge.
func (p *parser) checkSaved() error {
	found := make(map[string]bool)
	head := false
	for _, f := range p.full {
		for _, name := range p.config.ModulesToSave {
			if f.saved && EndsIn(f.module, name) {
				found[name] = true
				head = head || slices.Contains(headNames, name)
			}
		}
	}
	for _, name := range p.config.ModulesToSave {
		switch {
		case found[name], name == "":
		case !slices.Contains(headNames, name):
			p.recipe.Untrained = append(p.recipe.Untrained, name)
		case !head:
			p.headless = append(p.headless, name)
		}
	}
	return nil
}

// EndsIn tells whether modules_to_save means module by name: it, or a module above
// it, ends with the name, without regard to dots.
func EndsIn(module, name string) bool {
	for {
		if strings.HasSuffix(module, name) {
			return true
		}
		dot := strings.LastIndexByte(module, '.')
		if dot < 0 {
			return false
		}
		module = module[:dot]
	}
}
