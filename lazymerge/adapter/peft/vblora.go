package peft

import (
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// vblora reads peft_type VBLORA: low-rank factors made of vectors of a bank that all
// modules share.
var vblora = method{
	prefix: "vblora_",
	usual: []string{"bias", "exclude_modules", "fan_in_fan_out", "layers_pattern", "layers_to_transform",
		"modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "init_logits_std", use: ignored, reason: training},
		{name: "init_vector_bank_bound", use: ignored, reason: training},
		{name: "num_vectors", use: used},
		{name: "r", use: used},
		{name: "save_only_topk_weights", use: used},
		{name: "topk", use: used},
		{name: "vblora_dropout", use: ignored, reason: training},
		{name: "vector_length", use: used},
	},
	leaves: []leaf{
		{path: "vblora_logits_A"}, {path: "vblora_logits_A_topk_indices"}, {path: "vblora_logits_A_topk_weights"},
		{path: "vblora_logits_B"}, {path: "vblora_logits_B_topk_indices"}, {path: "vblora_logits_B_topk_weights"},
	},
	shared: []leaf{{path: "vblora_vector_bank"}},
	empty:  true, // weights of one vector each
	read: func(v *values) maker {
		return &vbloraSettings{
			rank:    v.positive("r", 4),
			topK:    v.positive("topk", 2),
			vectors: v.positive("num_vectors", 256),
			length:  v.positive("vector_length", 256),
			chosen:  v.boolean("save_only_topk_weights"),
		}
	},
}

type vbloraSettings struct {
	rank, topK, vectors, length int64
	chosen                      bool // the choices were saved in place of the logits
}

func (s *vbloraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	bank, err := p.needShared(l, "vblora_vector_bank")
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, bank[0], 0, s.vectors, "num_vectors"); err != nil {
		return nil, err
	}
	if err := p.checkRank(l, bank[0], 1, s.length, "vector_length"); err != nil {
		return nil, err
	}
	a, err := s.mixture(p, l, bank[0], "vblora_logits_A", 0)
	if err != nil {
		return nil, err
	}
	b, err := s.mixture(p, l, bank[0], "vblora_logits_B", 1)
	if err != nil {
		return nil, err
	}
	b.Standing = true
	return []transform.Edit{l.edit("weight", transform.Factors{Type: "vblora", A: a, B: b, Scale: 1, Class: p.class})}, nil
}

// mixture is the factor named name; dim is that of the rank in its tensor.
func (s *vbloraSettings) mixture(p *parser, l *layer, bank *safetensors.Tensor, name role, dim int) (transform.Mixture, error) {
	m := transform.Mixture{Bank: bank, K: s.topK}
	if !s.chosen {
		w, err := p.need(l, name)
		if err != nil {
			return m, err
		}
		m.Logits = w[0]
		return m, p.checkRank(l, w[0], dim, s.rank, "r")
	}
	w, err := p.need(l, name+"_topk_indices", name+"_topk_weights")
	if err != nil {
		return m, err
	}
	m.Indices, m.Weights = w[0], w[1]
	if err := p.checkRank(l, w[0], 2, s.topK, "topk"); err != nil {
		return m, err
	}
	return m, p.checkRank(l, w[0], dim, s.rank, "r")
}
