package peft

import (
	"encoding/json"
	"slices"
	"strings"

	"lorafs/lazymerge/transform"
)

// adalora reads peft_type ADALORA, whose config is LORA's and more.
var adalora = method{
	prefix: "lora_",
	usual:  lora.usual,
	fields: adaloraFields(),
	leaves: []leaf{{path: "lora_A"}, {path: "lora_B"}, {path: "lora_E"}},
	empty:  true,
	read:   func(v *values) maker { return readAdaLoRA(v) },
}

// adaloraFields is LORA's table with what AdaLoRA has added, and what it passes over.
func adaloraFields() []fieldRule {
	own := []fieldRule{
		{name: "alpha_pattern", use: ignored, reason: "AdaLoRA has one alpha"},
		{name: "beta1", use: ignored, reason: training},
		{name: "beta2", use: ignored, reason: training},
		{name: "deltaT", use: ignored, reason: training},
		{name: "init_lora_weights", use: ignored, reason: "the file holds the values after training"},
		{name: "init_r", use: used},
		{name: "kasa_config", use: refused, set: present, never: true, reason: "PEFT's AdaLoRA has no KaSA"},
		{name: "lora_bias", use: ignored, reason: "AdaLoRA's layers have none"},
		{name: "orth_reg_weight", use: ignored, reason: training},
		{name: "r", use: ignored, reason: "init_r decides"},
		{name: "target_parameters", use: refused, reason: "AdaLoRA of parameters that are no layers is not merged by this version"},
		{name: "target_r", use: ignored, reason: "the tensors tell what is left of init_r"},
		{name: "tfinal", use: ignored, reason: training},
		{name: "tinit", use: ignored, reason: training},
		{name: "total_step", use: ignored, reason: training},
		{name: "use_bdlora", use: refused, set: present, never: true, reason: "PEFT's AdaLoRA has no block-diagonal factors"},
		{name: "use_dora", use: refused, never: true, reason: "PEFT's AdaLoRA has no DoRA"},
		{name: "use_rslora", use: ignored, reason: "AdaLoRA does not read it"},
	}
	table := slices.DeleteFunc(slices.Clone(loraFields), func(f fieldRule) bool {
		_, replaced := find(own, f.name)
		return replaced
	})
	table = append(table, own...)
	slices.SortFunc(table, func(a, b fieldRule) int { return strings.Compare(a.name, b.name) })
	return table
}

type adaloraSettings struct {
	rank   int64
	alpha  float64
	pruned map[string]int64 // module → rank that is left
}

func readAdaLoRA(v *values) *adaloraSettings {
	s := &adaloraSettings{rank: 12, alpha: 8, pruned: make(map[string]int64)}
	if raw, ok := v.obj.get("init_r"); ok {
		s.rank = v.rank("init_r", raw)
	}
	if raw, ok := v.obj.get("lora_alpha"); ok {
		s.alpha = v.number("lora_alpha", raw)
	}
	for _, m := range v.object("rank_pattern") {
		var kept []json.RawMessage
		if !decodeList(m.raw, &kept) {
			v.fail("rank_pattern", m.raw, "not a list of what is kept")
			return s
		}
		// The key is that of lora_E, with the adapter's name behind it in some versions.
		module, _, _ := strings.Cut(m.key, ".lora_E")
		s.pruned[module] = 0
		for _, k := range kept {
			if truthy(k) {
				s.pruned[module]++
			}
		}
	}
	return s
}

func (s *adaloraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "lora_A", "lora_B", "lora_E")
	if err != nil {
		return nil, err
	}
	rank, field := s.rank, "init_r"
	left, pruned := s.pruned[l.pattern]
	if pruned {
		rank, field = left, "rank_pattern"
	}
	if err := p.checkRank(l, w[0], 0, rank, field); err != nil {
		return nil, err
	}
	scale := s.alpha
	if scale <= 0 {
		scale = float64(rank)
	}
	return []transform.Edit{l.edit("weight", transform.AdaLoRA{
		A: w[0], B: w[1], E: w[2], Scale: scale, Rank: s.rank, InDType: pruned, Class: p.class,
	})}, nil
}
