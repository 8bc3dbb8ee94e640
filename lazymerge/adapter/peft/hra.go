package peft

import "lorafs/lazymerge/transform"

// hra reads peft_type HRA: Householder reflections of the inputs of a module.
var hra = method{
	prefix: "hra_",
	usual:  []string{"bias", "exclude_modules", "init_weights", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "apply_GS", use: used},
		{name: "r", use: used},
	},
	leaves: []leaf{{path: "hra_u"}},
	read: func(v *values) maker {
		s := &hraSettings{rank: 8, orthogonal: v.boolean("apply_GS")}
		if raw, ok := v.obj.get("r"); ok {
			s.rank = v.rank("r", raw)
		}
		return s
	},
}

type hraSettings struct {
	rank       int64
	orthogonal bool
}

func (s *hraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "hra_u")
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[0], 1, s.rank, "r"); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.Reflections{U: w[0], Orthogonal: s.orthogonal})}, nil
}
