package recovery

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lorafs/lazymerge/adapter/peft"
)

// rebuilt is an adapter_config.json of LoRA, the fields that tensors tell.
type rebuilt struct {
	Type          string           `json:"peft_type"`
	Task          *string          `json:"task_type"`
	Base          *string          `json:"base_model_name_or_path"`
	Inference     bool             `json:"inference_mode"`
	Rank          int64            `json:"r"`
	Alpha         json.Number      `json:"lora_alpha"`
	Dropout       float64          `json:"lora_dropout"`
	Bias          string           `json:"bias"`
	DoRA          bool             `json:"use_dora"`
	LoRABias      bool             `json:"lora_bias"`
	RankPattern   map[string]int64 `json:"rank_pattern"`
	TargetModules []string         `json:"target_modules"`
	ModulesToSave []string         `json:"modules_to_save"`
}

// rebuild makes the config of a LoRA adapter from its tensors and the alpha that the
// user knows, written as a number of JSON; "" when it was not given. Errors:
// *ConfigError, *AlphaError.
func (s *selection) rebuild(alpha string) ([]byte, error) {
	c := &rebuilt{Type: "LORA", Alpha: json.Number(alpha), Bias: "none", RankPattern: map[string]int64{}}
	ranks := make(map[string]int64)
	for _, t := range s.tensors {
		if err := c.note(s, t, ranks); err != nil {
			return nil, err
		}
	}
	if len(ranks) == 0 {
		return nil, &ConfigError{Path: s.path, Reason: "it cannot be rebuilt without lora_A"}
	}
	c.Rank = commonest(ranks)
	for module, r := range ranks {
		if r != c.Rank {
			c.RankPattern[module] = r
		}
	}
	if alpha == "" {
		return nil, &AlphaError{Path: s.path, Rank: c.Rank}
	}
	c.TargetModules = s.targets(ranks)
	slices.Sort(c.ModulesToSave)
	c.ModulesToSave = slices.Compact(c.ModulesToSave)
	text, err := json.MarshalIndent(c, "", "  ")
	return append(text, '\n'), err
}

// note takes what one tensor tells.
func (c *rebuilt) note(s *selection, t chosen, ranks map[string]int64) error {
	name, shape := t.key.Saved, t.tensor.Shape
	switch {
	case t.key.Part == peft.PartSaved:
		c.ModulesToSave = append(c.ModulesToSave, t.key.Module)
	case strings.HasSuffix(name, ".lora_A.weight"), strings.HasSuffix(name, ".lora_embedding_A"):
		if len(shape) < 2 {
			return &ConfigError{Path: s.path, Reason: fmt.Sprintf("%q has the shape %v", t.tensor.Name, shape)}
		}
		if strings.Contains(t.key.Module, "base_layer") {
			return &ConfigError{Path: s.path, Reason: fmt.Sprintf("%q adapts a parameter (target_parameters), which the names do not tell apart", t.tensor.Name)}
		}
		ranks[t.key.Module] = shape[0]
	case strings.Contains(name, "lora_magnitude_vector"):
		c.DoRA = true
	case strings.HasSuffix(name, ".lora_B.bias"):
		c.LoRABias = true
	case t.key.Part == peft.PartBias || t.key.Part == peft.PartBase:
		c.ModulesToSave = append(c.ModulesToSave, t.key.Module)
	case !strings.Contains(name, ".lora_B.") && !strings.HasSuffix(name, ".lora_embedding_B"):
		return &ConfigError{Path: s.path, Reason: fmt.Sprintf("%q needs settings that are not in the tensors", t.tensor.Name)}
	}
	return nil
}

func commonest(ranks map[string]int64) int64 {
	counts := make(map[int64]int)
	for _, r := range ranks {
		counts[r]++
	}
	best := int64(0)
	for _, r := range slices.Sorted(maps.Keys(counts)) {
		if counts[r] > counts[best] {
			best = r
		}
	}
	return best
}

// targets names the adapted modules by their last parts where that names no others, as
// far as the checkpoint lists the model's modules, else in full.
func (s *selection) targets(ranks map[string]int64) []string {
	full := slices.Sorted(maps.Keys(ranks))
	modules := make(map[string]bool)
	whole := false
	for _, t := range s.all {
		k, err := peft.ParseTrainingKey("LORA", t.Name)
		if err != nil || k.Part != peft.PartBase && k.Part != peft.PartBias {
			continue
		}
		modules[strings.TrimSuffix(k.Module, ".base_layer")] = true
		whole = whole || strings.HasSuffix(k.Module, ".base_layer")
	}
	if !whole {
		return full // frozen parameters were not saved
	}
	short := make(map[string]bool)
	for _, m := range full {
		_, last, _ := cutLast(m)
		short[last] = true
	}
	for m := range modules {
		if _, last, _ := cutLast(m); short[last] && ranks[m] == 0 {
			return full
		}
	}
	return slices.Sorted(maps.Keys(short))
}
