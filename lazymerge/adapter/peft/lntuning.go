package peft

import "lorafs/lazymerge/transform"

// lnTuning reads peft_type LN_TUNING: norms trained as a whole.
var lnTuning = method{
	prefix: "ln_tuning_",
	usual:  []string{"exclude_modules", "modules_to_save", "target_modules"},
	leaves: []leaf{{path: "ln_tuning_layers.weight"}, {path: "ln_tuning_layers.bias"}},
	read:   func(*values) maker { return lnTuningSettings{} },
}

type lnTuningSettings struct{}

func (lnTuningSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "ln_tuning_layers")
	if err != nil {
		return nil, err
	}
	edits := []transform.Edit{l.edit("weight", transform.Replace{Value: w[0]})}
	if b := l.tensors["ln_tuning_layers.bias"]; b != nil {
		edits = append(edits, l.edit("bias", transform.Replace{Value: b}))
	}
	return edits, nil
}
