package peft

import "lorafs/lazymerge/transform"

// hira reads peft_type HIRA: the weight times a low-rank product, element by element.
var hira = method{
	prefix: "hira_",
	usual:  []string{"exclude_modules", "fan_in_fan_out", "init_weights", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "hira_dropout", use: ignored, reason: training},
		{name: "r", use: used},
		{name: "rank_pattern", use: ignored, reason: "PEFT makes all modules with r (tuners/hira/layer.py:673 @0.21.2)"},
	},
	leaves: []leaf{{path: "hira_A"}, {path: "hira_B"}, {path: "hira_embedding_A"}, {path: "hira_embedding_B"}},
	read:   func(v *values) maker { return hiraSettings{rank: v.positive("r", 32)} },
}

type hiraSettings struct{ rank int64 }

func (s hiraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	names := []role{"hira_A", "hira_B"}
	embedding := l.tensors["hira_embedding_A"] != nil || l.tensors["hira_embedding_B"] != nil
	if embedding {
		names = []role{"hira_embedding_A", "hira_embedding_B"}
	}
	w, err := p.need(l, names...)
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[0], 0, s.rank, "r"); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.HiRA{A: w[0], B: w[1], Embedding: embedding})}, nil
}
