package peft

import (
	"strings"

	"lorafs/lazymerge/transform"
)

// frod reads peft_type FROD: sparse changes of a factorisation that modules of a kind
// share.
var frod = method{
	prefix: "frod_",
	usual:  []string{"bias", "fan_in_fan_out", "init_weights", "layers_pattern", "layers_to_transform", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "frod_dropout", use: ignored, reason: training},
		{name: "progressbar", use: ignored, reason: training},
		{name: "projection_prng_key", use: ignored, reason: "save_projection decides"},
		{name: "regularization_alpha", use: ignored, reason: "save_projection decides"},
		{name: "runtime_offload_base_weight", use: ignored, reason: training},
		{name: "save_projection", use: used},
		{name: "sparse_rate", use: ignored, reason: "the tensors tell"},
	},
	leaves: []leaf{{path: "frod_lambda_l"}, {path: "frod_lambda_s_values"}},
	shared: []leaf{{path: "frod_V.*"}, {path: "frod_s_indices.*"}, {path: "frod_s_size.*"}},
	read: func(v *values) maker {
		if v.field("save_projection") != nil && !v.boolean("save_projection") {
			v.refuse("save_projection", "the projections were not saved, and they depend on the last bits of a decomposition of all layers")
		}
		return frodSettings{}
	},
}

type frodSettings struct{}

// category is what modules share projections by (peft tuners/frod/model.py:34 @0.21.2).
func category(module string) string {
	parts := strings.Split(module, ".")
	last := parts[len(parts)-1]
	if len(parts) == 1 {
		return last
	}
	above := parts[len(parts)-2]
	switch {
	case strings.Trim(above, "0123456789") == "":
		return last
	case above == "output" && last == "dense" && len(parts) > 2 && parts[len(parts)-3] == "attention":
		return "attention_output"
	}
	return above + "_" + last
}

func (frodSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	own, err := p.need(l, "frod_lambda_l", "frod_lambda_s_values")
	if err != nil {
		return nil, err
	}
	kind := role(category(l.module))
	shared, err := p.needShared(l, "frod_V."+kind, "frod_s_indices."+kind, "frod_s_size."+kind)
	if err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.FRoD{
		L: own[0], Values: own[1], V: shared[0], Indices: shared[1], Size: shared[2],
	})}, nil
}
