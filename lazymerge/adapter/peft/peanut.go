package peft

import (
	"fmt"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// peanut reads peft_type PEANUT: a small network that makes the delta of the weights.
var peanut = method{
	prefix: "peanut_",
	usual:  []string{"exclude_modules", "init_weights", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "act_fn", use: used},
		{name: "depth", use: used},
		{name: "r", use: used},
		{name: "scaling", use: used},
	},
	leaves: []leaf{
		{path: "peanut_A.weight"},
		{path: "peanut_B.weight"},
		{path: "peanut_encoders.#.weight"},
		{path: "peanut_decoders.#.weight"},
	},
	read: func(v *values) maker { return readPeanut(v) },
}

type peanutSettings struct {
	rank       int64
	depth      int64
	scale      float64
	activation string
}

func readPeanut(v *values) *peanutSettings {
	s := &peanutSettings{rank: 32, scale: 1, activation: "relu"}
	if raw, ok := v.obj.get("r"); ok {
		s.rank = v.rank("r", raw)
	}
	if raw, ok := v.obj.get("depth"); ok {
		if s.depth = v.integer("depth", raw); s.depth < 0 {
			v.fail("depth", raw, "a depth is not negative")
		}
	}
	if raw, ok := v.obj.get("scaling"); ok {
		s.scale = v.number("scaling", raw)
	}
	if raw, ok := v.obj.get("act_fn"); ok {
		if s.activation, ok = decodeString(raw); !ok {
			v.fail("act_fn", raw, "not the name of an activation")
		} else if !transform.HasActivation(s.activation) {
			v.refuse("act_fn", "it is no activation of transformers that this version knows")
		}
	}
	return s
}

func (s *peanutSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "peanut_A", "peanut_B")
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[0], 0, s.rank, "r"); err != nil {
		return nil, err
	}
	encoders, err := s.coders(p, l, "peanut_encoders")
	if err != nil {
		return nil, err
	}
	decoders, err := s.coders(p, l, "peanut_decoders")
	if err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.Peanut{
		A: w[0], B: w[1], Encoders: encoders, Decoders: decoders, Activation: s.activation, Scale: s.scale, Class: p.class,
	})}, nil
}

func (s *peanutSettings) coders(p *parser, l *layer, name string) ([]*safetensors.Tensor, error) {
	var all []*safetensors.Tensor
	for i := range s.depth {
		w, err := p.need(l, role(fmt.Sprintf("%s.%d", name, i)))
		if err != nil {
			return nil, err
		}
		all = append(all, w[0])
	}
	return all, nil
}
