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
		{name: "projection_prng_key", use: ignored, reason: "save_projection decides"},
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
		{name: "projection_prng_key", use: ignored, reason: "save_projection decides"},
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
}

func readVeRA(v *values, name string, parts int64) *veraSettings {
	s := &veraSettings{name: name, rank: v.positive("r", 256), parts: parts}
	if v.field("save_projection") != nil && !v.boolean("save_projection") {
		v.refuse("save_projection", "the projections were not saved, and this version does not draw them again")
	}
	return s
}

func (s *veraSettings) role(end string) role { return role(s.name + "_" + end) }

func (s *veraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	own, err := p.need(l, s.role("lambda_b"), s.role("lambda_d"))
	if err != nil {
		return nil, err
	}
	shared, err := p.needShared(l, s.role("A"), s.role("B"))
	if err != nil {
		return nil, err
	}
	for _, x := range []struct {
		of    *safetensors.Tensor
		dim   int
		parts int64
	}{{shared[1], 1, 1}, {shared[0], 0, s.parts}, {own[1], 0, s.parts}} {
		if err := p.checkRank(l, x.of, x.dim, x.parts*s.rank, "r"); err != nil {
			return nil, err
		}
	}
	return []transform.Edit{l.edit("weight", transform.VeRA{
		Type: s.name, Rank: s.rank, A: shared[0], B: shared[1], LambdaB: own[0], LambdaD: own[1], Class: p.class,
	})}, nil
}
