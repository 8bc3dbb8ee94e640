package peft

import (
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// lokr reads peft_type LOKR: the Kronecker product of two matrices, each whole or a
// low-rank product.
var lokr = method{
	prefix: "lokr_",
	usual: []string{"exclude_modules", "init_weights", "layers_pattern", "layers_to_transform", "module_dropout", "modules_to_save",
		"rank_dropout", "target_modules"},
	fields: []fieldRule{
		{name: "alpha", use: used},
		{name: "alpha_pattern", use: used},
		{name: "decompose_both", use: ignored, reason: "the tensors tell which matrix is whole"},
		{name: "decompose_factor", use: ignored, reason: "the tensors' shapes tell"},
		{name: "r", use: used},
		{name: "rank_dropout_scale", use: ignored, reason: training},
		{name: "rank_pattern", use: used},
		{name: "use_effective_conv2d", use: ignored, reason: "the tensors tell whether there is a core"},
	},
	leaves: []leaf{{path: "lokr_w1"}, {path: "lokr_w1_a"}, {path: "lokr_w1_b"},
		{path: "lokr_w2"}, {path: "lokr_w2_a"}, {path: "lokr_w2_b"}, {path: "lokr_t2"}},
	read: func(v *values) maker {
		return &lokrSettings{
			rank:  v.rankByModule("r", "rank_pattern", 8, bySuffix),
			alpha: v.numberByModule("alpha", "alpha_pattern", 8, bySuffix),
		}
	},
}

type lokrSettings struct {
	rank  *byModule[int64]
	alpha *byModule[float64]
}

func (s *lokrSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	rank, field, err := s.rank.of(l.pattern)
	if err != nil {
		return nil, err
	}
	alpha, _, err := s.alpha.of(l.pattern)
	if err != nil {
		return nil, err
	}
	// The rank scales the product also where no tensor has it.
	check := func(t *safetensors.Tensor) error { return p.checkRank(l, t, 0, rank, field) }
	x, err := s.first(p, l, check)
	if err != nil {
		return nil, err
	}
	delta, err := s.product(p, l, x, check)
	if err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.Addition{
		Type: "lokr", Rank: int(rank), Class: p.class, Scale: alpha / float64(rank), Delta: delta,
	})}, nil
}

// first is the left matrix of the product.
func (s *lokrSettings) first(p *parser, l *layer, check func(*safetensors.Tensor) error) (transform.Matrix, error) {
	if l.tensors["lokr_w1_a"] == nil && l.tensors["lokr_w1_b"] == nil {
		w, err := p.need(l, "lokr_w1")
		if err != nil {
			return nil, err
		}
		return transform.Stored{Tensor: w[0]}, nil
	}
	w, err := p.need(l, "lokr_w1_a", "lokr_w1_b")
	if err != nil {
		return nil, err
	}
	return transform.Hada{A: w[0], B: w[1]}.Matrix(), check(w[1])
}

// product is that of x and the right matrix.
func (s *lokrSettings) product(p *parser, l *layer, x transform.Matrix, check func(*safetensors.Tensor) error) (transform.Matrix, error) {
	core := l.tensors["lokr_t2"]
	if core == nil && l.tensors["lokr_w2_a"] == nil && l.tensors["lokr_w2_b"] == nil {
		w, err := p.need(l, "lokr_w2")
		switch {
		case err != nil:
			return nil, err
		case len(w[0].Shape) == 3:
			return transform.KernelKron{X: x, Y: w[0]}, nil
		}
		return transform.Kron{X: x, Y: transform.Stored{Tensor: w[0]}}, nil
	}
	w, err := p.need(l, "lokr_w2_a", "lokr_w2_b")
	if err != nil {
		return nil, err
	}
	y := transform.Hada{A: w[0], B: w[1], T: core}
	return transform.Kron{X: x, Y: y.Matrix()}, check(w[1])
}
