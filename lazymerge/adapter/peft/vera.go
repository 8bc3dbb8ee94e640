package peft

import "lorafs/lazymerge/transform"

// vera reads peft_type VERA: two vectors a module, between two matrices that all
// modules share.
var vera = method{
	prefix: "vera_lambda_",
	usual:  []string{"bias", "fan_in_fan_out", "init_weights", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "d_initial", use: ignored, reason: training},
		{name: "projection_prng_key", use: ignored, reason: "save_projection decides"},
		{name: "r", use: used},
		{name: "save_projection", use: used},
		{name: "vera_dropout", use: ignored, reason: training},
	},
	leaves: []leaf{{path: "vera_lambda_b"}, {path: "vera_lambda_d"}},
	shared: []leaf{{path: "vera_A"}, {path: "vera_B"}},
	read: func(v *values) maker {
		s := &veraSettings{rank: 256}
		if raw, ok := v.obj.get("r"); ok {
			s.rank = v.rank("r", raw)
		}
		if v.field("save_projection") != nil && !v.boolean("save_projection") {
			v.refuse("save_projection", "the projections were not saved, and this version does not draw them again")
		}
		return s
	},
}

type veraSettings struct{ rank int64 }

func (s *veraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	own, err := p.need(l, "vera_lambda_b", "vera_lambda_d")
	if err != nil {
		return nil, err
	}
	shared, err := p.needShared(l, "vera_A", "vera_B")
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, own[1], 0, s.rank, "r"); err != nil {
		return nil, err
	}
	if err := p.checkRank(l, shared[0], 0, s.rank, "r"); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.VeRA{
		A: shared[0], B: shared[1], LambdaB: own[0], LambdaD: own[1], Class: p.class,
	})}, nil
}
