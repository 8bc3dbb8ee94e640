package peft

import (
	"strconv"

	"lorafs/lazymerge/transform"
)

// gralora reads peft_type GRALORA: a low-rank product for each of k·k blocks, and one
// for the whole weight.
var gralora = method{
	prefix: "gralora_",
	usual:  []string{"bias", "fan_in_fan_out", "init_weights", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "alpha", use: used},
		{name: "gralora_dropout", use: ignored, reason: training},
		{name: "gralora_k", use: used},
		{name: "hybrid_r", use: used},
		{name: "r", use: used},
	},
	leaves: []leaf{{path: "gralora_A"}, {path: "gralora_B"}, {path: "gralora_A_general.weight"}, {path: "gralora_B_general.weight"}},
	read: func(v *values) maker {
		s := &graloraSettings{rank: v.positive("r", 32), alpha: 64, parts: v.positive("gralora_k", 2)}
		if raw, ok := v.obj.get("alpha"); ok {
			s.alpha = v.number("alpha", raw)
		}
		if raw := v.field("hybrid_r"); raw != nil {
			n, ok := decodeInt(raw)
			if !ok || n < 0 {
				v.fail("hybrid_r", raw, "not a rank or 0")
			}
			s.hybrid = n
		}
		if v.err == nil && s.rank%s.parts != 0 {
			v.fail("gralora_k", v.field("gralora_k"), "r = "+strconv.FormatInt(s.rank, 10)+" cannot be divided by it")
		}
		return s
	},
}

type graloraSettings struct {
	rank, hybrid, parts int64
	alpha               float64
}

func (s *graloraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "gralora_A", "gralora_B")
	if err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[0], 2, s.rank, "r"); err != nil {
		return nil, err
	}
	if err := p.checkRank(l, w[0], 0, s.parts, "gralora_k"); err != nil {
		return nil, err
	}
	delta := transform.Matrix(transform.Grains{A: w[0], B: w[1]})
	if s.hybrid > 0 {
		g, err := p.need(l, "gralora_A_general", "gralora_B_general")
		if err != nil {
			return nil, err
		}
		if err := p.checkRank(l, g[0], 0, s.hybrid, "hybrid_r"); err != nil {
			return nil, err
		}
		delta = transform.Sum{X: delta, Y: transform.Product{Left: transform.Stored{Tensor: g[1]}, Right: transform.Stored{Tensor: g[0]}}}
	}
	return []transform.Edit{l.edit("weight", transform.Addition{
		Type: "gralora", Rank: int(s.rank + s.hybrid), Delta: delta, Scale: s.alpha / float64(s.rank+s.hybrid), Class: p.class,
	})}, nil
}
