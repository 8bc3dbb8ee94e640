package peft

import "lorafs/lazymerge/transform"

// randlora reads peft_type RANDLORA: trained scales of random matrices that all
// modules share.
var randlora = method{
	prefix: "randlora_",
	usual:  vera.usual,
	fields: []fieldRule{
		{name: "projection_prng_key", use: ignored, reason: "save_projection decides"},
		{name: "r", use: used},
		{name: "randlora_alpha", use: used},
		{name: "randlora_dropout", use: ignored, reason: training},
		{name: "save_projection", use: used},
		{name: "sparse", use: ignored, reason: "how the projections were drawn; save_projection decides"},
		{name: "very_sparse", use: ignored, reason: "how the projections were drawn; save_projection decides"},
	},
	leaves: []leaf{{path: "randlora_lambda"}, {path: "randlora_gamma"}, {path: "randlora_A"}, {path: "randlora_B"}},
	shared: []leaf{{path: "randlora_A"}, {path: "randlora_B"}},
	read: func(v *values) maker {
		s := &randloraSettings{rank: v.positive("r", 32), alpha: 640}
		if raw, ok := v.obj.get("randlora_alpha"); ok {
			s.alpha = v.number("randlora_alpha", raw)
		}
		if v.field("save_projection") != nil && !v.boolean("save_projection") {
			v.refuse("save_projection", "the projections were not saved, and drawing them again depends on the machine")
		}
		return s
	},
}

type randloraSettings struct {
	rank  int64
	alpha float64
}

func (s *randloraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	own, err := p.need(l, "randlora_lambda", "randlora_gamma")
	if err != nil {
		return nil, err
	}
	shared, err := p.needShared(l, "randlora_A", "randlora_B")
	if err != nil {
		return nil, err
	}
	// PEFT repeats the shared tensors in every module.
	for i, r := range []role{"randlora_A", "randlora_B"} {
		if again := l.tensors[r]; again != nil {
			if err := p.same(shared[i], again); err != nil {
				return nil, err
			}
			p.used[again.Name] = true
		}
	}
	if err := p.checkRank(l, own[0], 0, s.rank, "r"); err != nil {
		return nil, err
	}
	if err := p.checkRank(l, shared[1], 2, s.rank, "r"); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.RandLoRA{
		Lambda: own[0], Gamma: own[1], A: shared[0], B: shared[1], Scale: s.alpha / float64(s.rank), Class: p.class,
	})}, nil
}
