package peft

import "lorafs/lazymerge/transform"

// shira reads peft_type SHIRA: single elements of a weight.
var shira = method{
	prefix: "shira_",
	usual:  []string{"fan_in_fan_out", "init_weights", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "mask_type", use: ignored, reason: "the file holds the positions"},
		{name: "r", use: ignored, reason: "the tensors tell the number of elements"},
		{name: "random_seed", use: ignored, reason: "the file holds the positions"},
	},
	leaves: []leaf{{path: "shira_weight"}, {path: "shira_indices"}},
	read:   func(*values) maker { return shiraSettings{} },
}

type shiraSettings struct{}

func (shiraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "shira_weight", "shira_indices")
	if err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.Sparse{Type: "shira", Values: w[0], Positions: w[1], Class: p.class})}, nil
}
