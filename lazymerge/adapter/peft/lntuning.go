package peft

import (
	"slices"

	"lorafs/lazymerge/transform"
)

// lnTuning reads peft_type LN_TUNING: norms trained as a whole.
var lnTuning = method{
	prefix: "ln_tuning_",
	usual:  []string{"exclude_modules", "modules_to_save", "target_modules"},
	leaves: []leaf{{path: "ln_tuning_layers.weight"}, {path: "ln_tuning_layers.bias"}, {path: "ln_tuning_layers.running_mean"},
		{path: "ln_tuning_layers.running_var"}, {path: "ln_tuning_layers.num_batches_tracked"}},
	read: func(*values) maker { return lnTuningSettings{} },
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
	return addStatistics(p, l, edits)
}

// addStatistics adds those of a batch norm, which has all or none.
func addStatistics(p *parser, l *layer, edits []transform.Edit) ([]transform.Edit, error) {
	roles := []role{"ln_tuning_layers.running_mean", "ln_tuning_layers.running_var", "ln_tuning_layers.num_batches_tracked"}
	if !slices.ContainsFunc(roles, func(r role) bool { return l.tensors[r] != nil }) {
		return edits, nil
	}
	values, err := p.need(l, roles...)
	if err != nil {
		return nil, err
	}
	for i, r := range roles {
		edits = append(edits, l.edit(component(string(r)), transform.Replace{Value: values[i]}))
	}
	return edits, nil
}
