package peft

import "lorafs/lazymerge/transform"

// boft reads peft_type BOFT: layers of orthogonal blocks, a butterfly, that the inputs
// of a module are multiplied with, and a factor for each output.
var boft = method{
	prefix: "boft_",
	usual:  []string{"bias", "exclude_modules", "fan_in_fan_out", "init_weights", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "boft_block_num", use: ignored, reason: "the tensors' shapes tell"},
		{name: "boft_block_size", use: ignored, reason: "the tensors' shapes tell"},
		{name: "boft_dropout", use: ignored, reason: training},
		{name: "boft_n_butterfly_factor", use: used},
	},
	leaves: []leaf{{path: "boft_R"}, {path: "boft_s"}},
	read:   func(v *values) maker { return boftSettings{v.positive("boft_n_butterfly_factor", 1)} },
}

// boftSettings holds the number of layers. Without CUDA PEFT trains one whatever it is.
type boftSettings struct{ layers int64 }

func (s boftSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "boft_R", "boft_s")
	if err != nil {
		return nil, err
	}
	if n := w[0].Shape; len(n) == 4 && n[0] != 1 && n[0] != s.layers {
		return nil, &RankError{File: p.file.Path(), Tensor: w[0].Name, Module: l.module, Field: "boft_n_butterfly_factor", Config: s.layers, Got: n[0], Shape: n}
	}
	return []transform.Edit{l.edit("weight", transform.InputRotation{Type: "boft", Blocks: w[0], Rescale: w[1]})}, nil
}
