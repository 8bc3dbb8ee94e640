package peft

import "lorafs/lazymerge/transform"

// loha reads peft_type LOHA: the elementwise product of two low-rank products.
var loha = method{
	prefix: "hada_",
	usual: []string{"exclude_modules", "init_weights", "layers_pattern", "layers_to_transform", "module_dropout", "modules_to_save",
		"rank_dropout", "target_modules"},
	fields: []fieldRule{
		{name: "alpha", use: used},
		{name: "alpha_pattern", use: used},
		{name: "r", use: used},
		{name: "rank_pattern", use: used},
		{name: "use_effective_conv2d", use: ignored, reason: "the tensors tell whether there is a core"},
	},
	leaves: []leaf{{path: "hada_w1_a"}, {path: "hada_w1_b"}, {path: "hada_w2_a"}, {path: "hada_w2_b"}, {path: "hada_t1"}, {path: "hada_t2"}},
	read: func(v *values) maker {
		return &lohaSettings{
			rank:  v.rankByModule("r", "rank_pattern", 8, bySuffix),
			alpha: v.numberByModule("alpha", "alpha_pattern", 8, bySuffix),
		}
	},
}

type lohaSettings struct {
	rank  *byModule[int64]
	alpha *byModule[float64]
}

func (s *lohaSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
	if err != nil {
		return nil, err
	}
	rank, field, err := s.rank.of(l.pattern)
	if err != nil {
		return nil, err
	}
	alpha, _, err := s.alpha.of(l.pattern)
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[1], 0, rank, field); err != nil {
		return nil, err
	}
	x := transform.Hada{A: w[0], B: w[1]}
	y := transform.Hada{A: w[2], B: w[3]}
	if l.tensors["hada_t1"] != nil || l.tensors["hada_t2"] != nil {
		cores, err := p.need(l, "hada_t1", "hada_t2")
		if err != nil {
			return nil, err
		}
		x.T, y.T = cores[0], cores[1]
	}
	return []transform.Edit{l.edit("weight", transform.Addition{
		Type: "loha", Rank: int(rank), Class: p.class, Scale: alpha / float64(rank),
		Delta: transform.Hadamard{X: x.Matrix(), Y: y.Matrix()},
	})}, nil
}
