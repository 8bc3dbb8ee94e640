package peft

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// tokenTensor holds the trained rows of an embedding.
type tokenTensor struct {
	module string
	rows   *safetensors.Tensor
}

func (p *parser) collectTokens(k tensorKey, t *safetensors.Tensor) error {
	for _, have := range p.tokens {
		if have.module == k.module {
			return p.same(have.rows, t)
		}
	}
	p.tokens = append(p.tokens, tokenTensor{module: k.module, rows: t})
	return nil
}

// addTokens makes the edits of trained rows. They are absolute, whatever their name
// (peft tuners/trainable_tokens/layer.py:176 @0.21.2). A low-rank adapter never has
// the same module, but may have one that is tied to it: there it wraps the rows and
// adds to them, so they come before it.
func (p *parser) addTokens() error {
	used := make(map[int]bool)
	for _, t := range p.tokens {
		i, err := p.indicesOf(t)
		if err != nil {
			return err
		}
		used[i] = true
		p.add(transform.Edit{
			Module: t.module, Param: "weight", Scope: p.tokenScope(t), Keys: []string{t.rows.Name},
			Transform: transform.ReplaceRows{Indices: p.config.TokenIndices[i].Indices, Rows: t.rows},
		})
	}
	return p.checkTokens(used)
}

// indicesOf finds the entry of trainable_token_indices for a tensor.
func (p *parser) indicesOf(t tokenTensor) (int, error) {
	const field = "trainable_token_indices"
	for i, x := range p.config.TokenIndices {
		if !strings.HasSuffix(t.module, x.Module) {
			continue
		}
		rows := int64(-1)
		if len(t.rows.Shape) > 0 {
			rows = t.rows.Shape[0]
		}
		if n := int64(len(x.Indices)); n != rows {
			return 0, &FieldError{Path: p.config.Path, Field: field, Value: fmt.Sprintf("a list of %d tokens", n),
				Reason: fmt.Sprintf("but %q has shape %v", t.rows.Name, t.rows.Shape)}
		}
		return i, nil
	}
	return 0, &FieldError{Path: p.config.Path, Field: field, Value: "not given", Reason: fmt.Sprintf("but the weights hold %q", t.rows.Name)}
}

// checkTokens looks for the tensors of the other entries. PEFT saves none for a
// module that is tied to another entry's and has the same indices.
func (p *parser) checkTokens(used map[int]bool) error {
	all := p.config.TokenIndices
	for i, x := range all {
		covered := used[i] || len(x.Indices) == 0
		for j := range all {
			covered = covered || used[j] && slices.Equal(all[j].Indices, x.Indices)
		}
		if !covered || used[i] && x.Module == "" && p.headAlone() {
			return &MissingTensorError{File: p.file.Path(), Module: cmp.Or(x.Module, "(input embedding)"), Want: "token_adapter." + string(roleTokens)}
		}
	}
	return nil
}

// headAlone tells whether the only rows of a file are those of a head, which follow those
// of the input embedding: an option that names no module means that one.
func (p *parser) headAlone() bool {
	if p.config.PeftType == "TRAINABLE_TOKENS" {
		return false // whose target_modules name them
	}
	return !slices.ContainsFunc(p.tokens, func(t tokenTensor) bool { return !slices.Contains(outputLayers, component(t.module)) })
}

// outputLayers are names of heads that may share the input embedding's weights.
var outputLayers = []string{"lm_head", "embed_out", "output", "output_layer"}

// tokenScope: PEFT lets the modules tied to the input embedding follow its rows. It
// does not when the head has rows of its own.
func (p *parser) tokenScope(t tokenTensor) transform.Scope {
	if p.config.TieWeights {
		return transform.Shared
	}
	if len(p.tokens) > 1 || slices.Contains(outputLayers, component(t.module)) {
		return transform.Own
	}
	return transform.Shared
}
