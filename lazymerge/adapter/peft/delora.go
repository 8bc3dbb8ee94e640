package peft

import "lorafs/lazymerge/transform"

// delora reads peft_type DELORA: a low-rank product of normalised factors.
var delora = method{
	prefix: "delora_",
	usual: []string{"bias", "exclude_modules", "init_weights", "layers_pattern", "layers_to_transform", "module_dropout", "modules_to_save",
		"target_modules"},
	fields: []fieldRule{
		{name: "delora_lambda", use: ignored, reason: "the file holds the value after training"},
		{name: "lambda_pattern", use: ignored, reason: "the file holds the values after training"},
		{name: "r", use: used},
		{name: "rank_pattern", use: used},
	},
	leaves: []leaf{{path: "delora_A"}, {path: "delora_B"}, {path: "delora_lambda"}, {path: "delora_w_norm"}},
	read: func(v *values) maker {
		return &deloraSettings{rank: v.rankByModule("r", "rank_pattern", 8, bySuffix)}
	},
}

type deloraSettings struct{ rank *byModule[int64] }

func (s *deloraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "delora_A", "delora_B", "delora_lambda", "delora_w_norm")
	if err != nil {
		return nil, err
	}
	rank, field, err := s.rank.of(l.pattern)
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[0], 0, rank, field); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.DeLoRA{A: w[0], B: w[1], Lambda: w[2], WNorm: w[3], Class: p.class})}, nil
}
