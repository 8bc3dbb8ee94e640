package peft

import "lorafs/lazymerge/transform"

// miss reads peft_type MISS: a block that is added to every stretch of inputs.
var miss = method{
	prefix: "miss_",
	usual:  []string{"bias", "exclude_modules", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "init_weights", use: used},
		{name: "mini_r", use: ignored, reason: "the block's shape tells"},
		{name: "miss_dropout", use: ignored, reason: training},
		{name: "r", use: used},
	},
	leaves: []leaf{{path: "miss_block"}},
	read:   func(v *values) maker { return readMiSS(v, "miss_block") },
}

// bone reads peft_type BONE, the name of MISS until PEFT 0.18.
var bone = method{
	prefix: "bone_",
	usual:  miss.usual,
	fields: []fieldRule{
		{name: "init_weights", use: used},
		{name: "r", use: used},
	},
	leaves: []leaf{{path: "bone_block"}},
	read:   func(v *values) maker { return readMiSS(v, "bone_block") },
}

type missSettings struct {
	rank  int64
	form  string // "bat", "mini" or ""
	block role
}

func readMiSS(v *values, block role) *missSettings {
	s := &missSettings{rank: 64, block: block}
	if raw, ok := v.obj.get("r"); ok {
		s.rank = v.rank("r", raw)
	}
	switch raw := v.field("init_weights"); string(raw) {
	case "", "true", "false":
	case `"bat"`, `"mini"`:
		s.form, _ = decodeString(raw)
	default:
		v.fail("init_weights", raw, `not true, false, "bat" or "mini"`)
	}
	return s
}

func (s *missSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, s.block)
	if err != nil {
		return nil, err
	}
	dim := 0
	if s.form == "bat" {
		dim = 1
	}
	if err := p.checkRank(l, w[0], dim, s.rank, "r"); err != nil {
		return nil, err
	}
	if s.form == "bat" {
		return []transform.Edit{l.edit("weight", transform.MiSSBat{Block: w[0]})}, nil
	}
	return []transform.Edit{l.edit("weight", transform.MiSS{Block: w[0], Class: p.class})}, nil
}
