package peft

import "lorafs/lazymerge/transform"

// beft reads peft_type BEFT: an addend for the bias of a module.
var beft = method{
	prefix: "beft_",
	usual:  []string{"init_weights", "modules_to_save", "target_modules"},
	leaves: []leaf{{path: "beft_bias"}},
	read:   func(*values) maker { return beftSettings{} },
}

type beftSettings struct{}

func (beftSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	b, err := p.need(l, "beft_bias")
	if err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("bias", transform.AddBias{Bias: b[0], Scale: 1})}, nil
}
