package peft

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// trainingNames is what integration/checkpoints/names.py saw PEFT do.
type trainingNames struct {
	Case    string
	Type    string
	Fields  map[string]any
	Tensors [][3]string // name in the model, "t" when trained, name as saved or ""
}

func readTrainingNames(t *testing.T) []trainingNames {
	t.Helper()
	text, err := os.ReadFile("testdata/training_names.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []trainingNames
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTrainingNames holds the names against those that PEFT gives.
func TestTrainingNames(t *testing.T) {
	types := make(map[string]bool)
	for _, c := range readTrainingNames(t) {
		types[c.Type] = true
		for _, row := range c.Tensors {
			name, saved := row[0], row[2]
			for _, wrapped := range []string{name, "module." + name, "_orig_mod." + name, strings.Replace(name, ".self_attn.", "._fsdp_wrapped_module.self_attn.", 1)} {
				k, err := ParseTrainingKey(c.Type, wrapped)
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case saved != "" && k.Saved != saved:
					t.Errorf("%s: %s is saved as %s, not %s", c.Case, wrapped, k.Saved, saved)
				case saved != "" && (k.Part == PartBase || k.Part == PartCopy):
					t.Errorf("%s: %s is taken for the base's", c.Case, wrapped)
				case saved != "" && k.Part != PartBias && k.Adapter != "default":
					t.Errorf("%s: %s is of adapter %q", c.Case, wrapped, k.Adapter)
				case saved == "" && (k.Part == PartOwn || k.Part == PartSaved):
					t.Errorf("%s: %s is taken for the adapter's", c.Case, wrapped)
				}
			}
		}
	}
	for key, root := range map[string]string{
		"model.base_model.model.m.lora_A.default.weight":                   "model",
		"module._orig_mod.policy.base_model.model.m.lora_A.default.weight": "policy",
		"base_model.model.base_model.model.m.lora_A.default.weight":        "",
		"_orig_mod.module.base_model.model.m.lora_A.default.weight":        "",
		"m.lora_A.default.weight":                                          "",
	} {
		if k, err := ParseTrainingKey("LORA", key); err != nil || k.Root != root || k.Part != PartOwn || !strings.HasSuffix(k.Saved, "m.lora_A.weight") {
			t.Errorf("%s: %+v, %v", key, k, err)
		}
	}
	for _, name := range Types() {
		if !types[name] && name != "BONE" {
			t.Errorf("no names of %s", name)
		}
	}
}
