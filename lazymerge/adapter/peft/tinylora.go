package peft

import (
	"fmt"
	"strconv"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// tinylora reads peft_type TINYLORA: between two factors of the base's decomposition,
// a sum of random matrices whose weights are a vector that some modules share.
var tinylora = method{
	prefix: "tinylora_",
	usual:  vera.usual,
	fields: []fieldRule{
		{name: "init_v_bound", use: ignored, reason: training},
		{name: "projection_seed", use: used},
		{name: "r", use: used},
		{name: "save_projection", use: used},
		{name: "tinylora_dropout", use: ignored, reason: training},
		{name: "u", use: used},
		{name: "weight_tying", use: used},
	},
	leaves: []leaf{{path: "tinylora_A"}, {path: "tinylora_B"}, {path: "tinylora_P"}},
	shared: []leaf{{path: "tinylora_v.#"}},
	read: func(v *values) maker {
		s := &tinySettings{rank: v.positive("r", 2), u: v.positive("u", 64), seed: v.seed("projection_seed", 42), saved: v.saved("save_projection", true)}
		if raw := v.field("weight_tying"); raw != nil {
			if s.tying = v.number("weight_tying", raw); !(s.tying >= 0 && s.tying <= 1) {
				v.fail("weight_tying", raw, "not between 0 and 1")
			}
		}
		return s
	},
}

type tinySettings struct {
	rank, u, seed int64
	tying         float64
	saved         bool // the projections were
	draws         *transform.TinyDraws
}

func (s *tinySettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "tinylora_A", "tinylora_B")
	if err != nil {
		return nil, err
	}
	a, b := w[0], w[1]
	// The decomposition of a small matrix has no more than its own rank.
	if len(a.Shape) != 2 || len(b.Shape) != 2 || a.Shape[0] != min(s.rank, a.Shape[1], b.Shape[0]) {
		if err := p.checkRank(l, a, 0, s.rank, "r"); err != nil {
			return nil, err
		}
	}
	if !s.saved {
		return s.drawnEdits(p, l, a, b)
	}
	w, err = p.need(l, "tinylora_P")
	if err != nil {
		return nil, err
	}
	proj := w[0]
	if err := p.checkRank(l, proj, 0, s.u, "u"); err != nil {
		return nil, err
	}
	group, err := s.group(p, l)
	if err != nil {
		return nil, err
	}
	v, err := p.needShared(l, role("tinylora_v."+strconv.Itoa(group)))
	if err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.Factors{
		Type: "tinylora", Scale: 1, Class: p.class,
		A: transform.Product{Left: transform.Weighted{V: v[0], P: proj}, Right: transform.Stored{Tensor: a}},
		B: transform.Stored{Tensor: b},
	})}, nil
}

// group is the number of the vector that the module shares, by its place among the
// adapted modules of the model. The file
// does not say the place, but the module's projections were drawn by it.
func (s *tinySettings) group(p *parser, l *layer) (int, error) {
	layers := len(p.layers)
	if last := transform.TinyGroup(layers-1, layers, s.tying); last == 0 {
		return 0, nil
	}
	if s.draws == nil {
		s.draws = &transform.TinyDraws{Seed: s.seed, Layers: layers}
	}
	proj := l.tensors["tinylora_P"]
	place, ok, err := s.draws.Place(proj)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, &UnsupportedError{Path: p.file.Path(), Type: p.name, Field: proj.Name,
			Reason: fmt.Sprintf("it is not what projection_seed gives any of %d modules: others are missing from the file, or it was drawn otherwise, and nothing tells which vector the module shares", layers)}
	}
	return transform.TinyGroup(place, layers, s.tying), nil
}

func (s *tinySettings) drawnEdits(p *parser, l *layer, a, b *safetensors.Tensor) ([]transform.Edit, error) {
	if t := l.tensors["tinylora_P"]; t != nil {
		return nil, &FieldError{Path: p.config.Path, Field: "save_projection", Value: "false", Reason: fmt.Sprintf("but the weights hold %q", t.Name)}
	}
	last := transform.TinyGroup(len(p.layers)-1, len(p.layers), s.tying)
	var shared []*safetensors.Tensor
	for group := range last + 1 {
		v, err := p.needShared(l, role("tinylora_v."+strconv.Itoa(group)))
		if err != nil {
			return nil, err
		}
		if err := p.checkRank(l, v[0], 0, s.u, "u"); err != nil {
			return nil, err
		}
		shared = append(shared, v[0])
	}
	return []transform.Edit{l.edit("weight", transform.DrawnTinyLoRA{
		A: a, B: b, Shared: shared, Tying: s.tying, Seed: s.seed, Class: p.class,
	})}, nil
}
