package peft

import (
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// randlora reads peft_type RANDLORA: trained scales of random matrices that all
// modules share.
var randlora = method{
	prefix: "randlora_",
	usual:  vera.usual,
	fields: []fieldRule{
		{name: "projection_prng_key", use: used},
		{name: "r", use: used},
		{name: "randlora_alpha", use: used},
		{name: "randlora_dropout", use: ignored, reason: training},
		{name: "save_projection", use: used},
		{name: "sparse", use: used},
		{name: "very_sparse", use: used},
	},
	leaves: []leaf{{path: "randlora_lambda"}, {path: "randlora_gamma"}, {path: "randlora_A"}, {path: "randlora_B"}},
	shared: []leaf{{path: "randlora_A"}, {path: "randlora_B"}},
	read: func(v *values) maker {
		s := &randloraSettings{rank: v.positive("r", 32), alpha: 640}
		if raw, ok := v.obj.get("randlora_alpha"); ok {
			s.alpha = v.number("randlora_alpha", raw)
		}
		s.drawn = !v.saved("save_projection", true)
		s.seed = v.seed("projection_prng_key", 0)
		s.sparse, s.verySparse = v.boolean("sparse"), v.boolean("very_sparse")
		return s
	},
}

type randloraSettings struct {
	rank  int64
	alpha float64

	drawn              bool // the projections were not saved
	seed               int64
	sparse, verySparse bool // how they are drawn
}

func (s *randloraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	own, err := p.need(l, "randlora_lambda", "randlora_gamma")
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, own[0], 0, s.rank, "r"); err != nil {
		return nil, err
	}
	if s.drawn {
		return s.drawnEdits(p, l, own)
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
	if err := p.checkRank(l, shared[1], 2, s.rank, "r"); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.RandLoRA{
		Lambda: own[0], Gamma: own[1], A: shared[0], B: shared[1], Scale: s.alpha / float64(s.rank), Class: p.class,
	})}, nil
}

func (s *randloraSettings) drawnEdits(p *parser, l *layer, own []*safetensors.Tensor) ([]transform.Edit, error) {
	if err := p.unsaved("save_projection", "randlora_A", "randlora_B"); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.DrawnRandLoRA{
		Lambda: own[0], Gamma: own[1], Rank: s.rank, Seed: s.seed, Scale: s.alpha / float64(s.rank), Class: p.class,
		Sparse: s.sparse, VerySparse: s.verySparse,
	})}, nil
}
