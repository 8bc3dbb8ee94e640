package peft

import "lorafs/lazymerge/transform"

// c3a reads peft_type C3A: a matrix of circulant blocks.
var c3a = method{
	prefix: "c3a_",
	usual:  []string{"bias", "init_weights", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "block_size", use: used},
		{name: "block_size_pattern", use: used},
	},
	leaves: []leaf{{path: "c3a_kernel"}},
	read: func(v *values) maker {
		return &c3aSettings{size: v.rankByModule("block_size", "block_size_pattern", 256, byDot)}
	},
}

type c3aSettings struct{ size *byModule[int64] }

func (s *c3aSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "c3a_kernel")
	if err != nil {
		return nil, err
	}
	size, field, err := s.size.of(l.pattern)
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[0], 2, size, field); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.C3A{Kernel: w[0], Class: p.class})}, nil
}
