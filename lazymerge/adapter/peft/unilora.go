package peft

import "lorafs/lazymerge/transform"

// unilora reads peft_type UNILORA: low-rank factors made of the elements of one vector
// that all modules share.
var unilora = method{
	prefix: "unilora_",
	usual:  vera.usual,
	fields: []fieldRule{
		{name: "init_theta_d_bound", use: ignored, reason: training},
		{name: "proj_seed", use: ignored, reason: "save_indices decides"},
		{name: "r", use: used},
		{name: "save_indices", use: used},
		{name: "theta_d_length", use: used},
		{name: "unilora_dropout", use: ignored, reason: training},
	},
	leaves: []leaf{{path: "unilora_indices_A"}, {path: "unilora_indices_B"}, {path: "unilora_scales_A"}, {path: "unilora_scales_B"}},
	shared: []leaf{{path: "unilora_theta_d"}},
	read: func(v *values) maker {
		s := &uniloraSettings{rank: v.positive("r", 4), length: v.positive("theta_d_length", 256)}
		if !v.boolean("save_indices") {
			v.refuse("save_indices", "the indices were not saved, and drawing them again needs the order of the model's modules, which its files do not tell")
		}
		return s
	},
}

type uniloraSettings struct{ rank, length int64 }

func (s *uniloraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "unilora_indices_A", "unilora_indices_B", "unilora_scales_A", "unilora_scales_B")
	if err != nil {
		return nil, err
	}
	theta, err := p.needShared(l, "unilora_theta_d")
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[0], 0, s.rank, "r"); err != nil {
		return nil, err
	}
	if err := p.checkRank(l, theta[0], 0, s.length, "theta_d_length"); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.UniLoRA{
		Theta: theta[0], IndexA: w[0], IndexB: w[1], ScaleA: w[2], ScaleB: w[3], Class: p.class,
	})}, nil
}
