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
		{name: "boft_n_butterfly_factor", use: ignored, reason: "the tensors' shapes tell, and without CUDA PEFT trains one layer whatever it says"},
	},
	leaves: []leaf{{path: "boft_R"}, {path: "boft_s"}},
	read:   func(*values) maker { return boftSettings{} },
}

type boftSettings struct{}

func (boftSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "boft_R", "boft_s")
	if err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.InputRotation{Type: "boft", Blocks: w[0], Rescale: w[1]})}, nil
}
