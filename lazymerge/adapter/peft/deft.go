package peft

import "lorafs/lazymerge/transform"

// deft reads peft_type DEFT: a subspace that is taken away, and what comes in its place.
var deft = method{
	prefix: "deft_",
	usual: []string{"bias", "exclude_modules", "fan_in_fan_out", "init_weights", "layers_pattern", "layers_to_transform",
		"modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "alpha", use: used},
		{name: "decomposition_method", use: used},
		{name: "deft_dropout", use: ignored, reason: training},
		{name: "init_scale", use: ignored, reason: "the file holds the values after training"},
		{name: "para", use: used},
		{name: "r", use: used},
	},
	leaves: []leaf{{path: "deft_P"}, {path: "deft_R"}},
	read:   func(v *values) maker { return readDEFT(v) },
}

type deftSettings struct {
	rank       int64
	alpha      float64 // 0 when R is not scaled
	orthogonal bool
	para       bool
}

func readDEFT(v *values) *deftSettings {
	s := &deftSettings{rank: 8, para: v.boolean("para")}
	if raw, ok := v.obj.get("r"); ok {
		s.rank = v.rank("r", raw)
	}
	if raw := v.field("alpha"); raw != nil {
		s.alpha = v.number("alpha", raw)
	}
	switch raw := v.field("decomposition_method"); string(raw) {
	case "", `"relu"`:
	case `"qr"`:
		s.orthogonal = true
	default:
		v.fail("decomposition_method", raw, `not "relu" or "qr"`)
	}
	return s
}

func (s *deftSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	roles := []role{"deft_P", "deft_R"}
	if s.para {
		roles = roles[:1]
	}
	w, err := p.need(l, roles...)
	if err != nil {
		return nil, err
	}
	rank := s.rank
	if len(w[0].Shape) > 0 {
		rank = min(rank, w[0].Shape[0]) // the outputs (peft tuners/deft/layer.py:99 @0.21.2)
	}
	if err := p.checkRank(l, w[0], 1, rank, "r"); err != nil {
		return nil, err
	}
	d := transform.DEFT{P: w[0], Orthogonal: s.orthogonal, Scale: 1, Class: p.class}
	if !s.para {
		d.R = w[1]
	}
	if s.alpha != 0 {
		d.Scale = s.alpha / float64(rank)
	}
	return []transform.Edit{l.edit("weight", d)}, nil
}
