package peft

import (
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// vera reads peft_type VERA: two vectors a module, between two matrices that all
// modules share.
var vera = method{
	prefix: "vera_lambda_",
	usual:  []string{"bias", "fan_in_fan_out", "init_weights", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "d_initial", use: ignored, reason: training},
		{name: "projection_prng_key", use: used},
		{name: "r", use: used},
		{name: "save_projection", use: used},
		{name: "vera_dropout", use: ignored, reason: training},
	},
	leaves: []leaf{{path: "vera_lambda_b"}, {path: "vera_lambda_d"}},
	shared: []leaf{{path: "vera_A"}, {path: "vera_B"}},
	read:   func(v *values) maker { return readVeRA(v, "vera", 1) },
}

// pvera reads peft_type PVERA: VERA with a mean and a variance for each row of A.
var pvera = method{
	prefix: "pvera_lambda_",
	usual:  vera.usual,
	fields: []fieldRule{
		{name: "d_initial", use: ignored, reason: training},
		{name: "generator_seed", use: ignored, reason: "of the noise, which a merge leaves out"},
		{name: "projection_prng_key", use: used},
		{name: "pvera_dropout", use: ignored, reason: training},
		{name: "r", use: used},
		{name: "sample_at_inference", use: ignored, reason: "a merge takes the mean"},
		{name: "save_projection", use: used},
	},
	leaves: []leaf{{path: "pvera_lambda_b"}, {path: "pvera_lambda_d"}},
	shared: []leaf{{path: "pvera_A"}, {path: "pvera_B"}},
	read:   func(v *values) maker { return readVeRA(v, "pvera", 2) },
}

type veraSettings struct {
	name  string // of the type, as its tensors have it
	rank  int64
	parts int64 // rows of A for each of rank
	drawn bool  // the projections were not saved
	seed  int64 // of which they are drawn
}

func readVeRA(v *values, name string, parts int64) *veraSettings {
	s := &veraSettings{name: name, rank: v.positive("r", 256), parts: parts}
	s.drawn = !v.saved("save_projection", true)
	s.seed = v.seed("projection_prng_key", 0)
	return s
}

func (s *veraSettings) role(end string) role { return role(s.name + "_" + end) }

func (s *veraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	own, err := p.need(l, s.role("lambda_b"), s.role("lambda_d"))
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, own[1], 0, s.parts*s.rank, "r"); err != nil {
		return nil, err
	}
	if s.drawn {
		return s.drawnEdits(p, l, own)
	}
	shared, err := p.needShared(l, s.role("A"), s.role("B"))
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, shared[0], 0, s.parts*s.rank, "r"); err != nil {
		return nil, err
	}
	if err := p.checkRank(l, shared[1], 1, s.rank, "r"); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.VeRA{
		Type: s.name, Rank: s.rank, A: shared[0], B: shared[1], LambdaB: own[0], LambdaD: own[1], Class: p.class,
	})}, nil
}

func (s *veraSettings) drawnEdits(p *parser, l *layer, own []*safetensors.Tensor) ([]transform.Edit, error) {
	if err := p.unsaved("save_projection", s.role("A"), s.role("B")); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.DrawnVeRA{
		Type: s.name, Rank: s.rank, Rows: s.parts * s.rank, Seed: s.seed, LambdaB: own[0], LambdaD: own[1], Class: p.class,
	})}, nil
}
