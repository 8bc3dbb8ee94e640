package peft

import (
	"bytes"
	"encoding/json"

	"lorafs/lazymerge/transform"
)

// osf reads peft_type OSF: other values for the least singular components of a weight.
var osf = method{
	prefix: "osf_",
	usual:  []string{"init_weights", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "effective_rank", use: used},
		{name: "rank_pattern", use: used},
		{name: "target_svd_config", use: ignored, reason: "PEFT does not read it"},
	},
	leaves: []leaf{{path: "osf_svd_params.U_low"}, {path: "osf_svd_params.S_low"}, {path: "osf_svd_params.V_low"}},
	read: func(v *values) maker {
		return &osfSettings{readByModule(v, "effective_rank", "rank_pattern", keptRank{share: 0.5}, byPart, v.keptRank)}
	},
}

// keptRank is how many singular components stay the base's, or their share of all.
type keptRank struct {
	count int64
	share float64
}

// of is the number for a weight of n components (peft tuners/osf/model.py:74 @0.21.2).
func (k keptRank) of(n int64) int64 {
	if k.share > 0 {
		return int64(float64(n) * k.share)
	}
	return min(n, k.count)
}

func (v *values) keptRank(name string, raw json.RawMessage) keptRank {
	if string(raw) == "null" {
		return keptRank{share: 0.5}
	}
	x := v.number(name, raw)
	if bytes.ContainsAny(raw, ".eE") && x > 0 && x <= 1 { // Python has it as a float
		return keptRank{share: x}
	}
	if x < 1 {
		v.fail(name, raw, "neither a positive number nor a share")
	}
	return keptRank{count: int64(min(x, 1<<53))}
}

type osfSettings struct{ kept *byModule[keptRank] }

func (s *osfSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "osf_svd_params.U_low", "osf_svd_params.S_low", "osf_svd_params.V_low")
	if err != nil {
		return nil, err
	}
	kept, field, err := s.kept.of(l.pattern)
	if err != nil {
		return nil, err
	}
	if u, v := w[0].Shape, w[2].Shape; len(u) == 2 && len(v) == 2 {
		n := min(u[0], v[1])
		if err := p.checkRank(l, w[1], 0, n-kept.of(n), field); err != nil {
			return nil, err
		}
	}
	return []transform.Edit{l.edit("weight", transform.OSF{U: w[0], S: w[1], V: w[2], Class: p.class})}, nil
}
