package peft

import "lorafs/lazymerge/transform"

// supertuning reads peft_type SUPERTUNING: single elements of a weight, and a low-rank
// product on top.
var supertuning = method{
	prefix: "supertuning_",
	usual:  []string{"init_weights", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "lora_alpha", use: used},
		{name: "lora_dropout", use: ignored, reason: training},
		{name: "r", use: used},
		{name: "save_precomputed_indices", use: used},
		{name: "select_top", use: ignored, reason: "the file holds the positions"},
		{name: "sparsity", use: ignored, reason: "the file holds the positions"},
	},
	leaves: []leaf{{path: "supertuning_values"}, {path: "supertuning_indices"}, {path: "supertuning_lora_A.weight"}, {path: "supertuning_lora_B.weight"}},
	read:   func(v *values) maker { return readSupertuning(v) },
}

type supertuningSettings struct {
	rank  int64 // 0: there is no product
	alpha float64
}

func readSupertuning(v *values) *supertuningSettings {
	s := new(supertuningSettings)
	if raw := v.field("r"); raw != nil {
		s.rank = v.rank("r", raw)
	}
	s.alpha = 2 * float64(s.rank)
	if raw := v.field("lora_alpha"); raw != nil {
		s.alpha = v.number("lora_alpha", raw)
	}
	if v.field("save_precomputed_indices") != nil && !v.boolean("save_precomputed_indices") {
		v.refuse("save_precomputed_indices", "the positions were not saved: PEFT chooses the largest weights of the base anew, and which of equal ones that are is not defined")
	}
	return s
}

func (s *supertuningSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "supertuning_values", "supertuning_indices")
	if err != nil {
		return nil, err
	}
	edits := []transform.Edit{l.edit("weight", transform.Sparse{Type: "supertuning", Values: w[0], Positions: w[1], Class: p.class})}
	if s.rank == 0 {
		return edits, nil
	}
	ab, err := p.need(l, "supertuning_lora_A", "supertuning_lora_B")
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, ab[0], 0, s.rank, "r"); err != nil {
		return nil, err
	}
	return append(edits, l.edit("weight", transform.Factors{
		Type: "supertuning", A: transform.Stored{Tensor: ab[0]}, B: transform.Stored{Tensor: ab[1]}, Scale: s.alpha / float64(s.rank), Class: p.class,
	})), nil
}
