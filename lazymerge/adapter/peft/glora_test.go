package peft

import (
	"slices"
	"testing"
)

func init() {
	const m = "base_model.model.m."
	moduleOf["GLORA"] = sample{`"r": 2`, []item{it(m+"glora_A.Xd", 4, 2), it(m+"glora_A.Xu", 2, 3), it(m+"glora_B.Xd", 4, 2), it(m+"glora_B.Xu", 2, 3),
		it(m+"glora_C.Xd", 3, 2), it(m+"glora_C.Xu", 2, 1), it(m+"glora_D.X", 1), it(m+"glora_E.X", 1)}}
}

// TestGLoRAForms: zeros stand for a form that a module does not have.
func TestGLoRAForms(t *testing.T) {
	const m = "base_model.model.m."
	zeros := []item{it(m+"glora_C.zeros", 3, 1).with(0), it(m+"glora_D.zeros", 4).with(0), it(m+"glora_E.zeros", 4).with(0)}
	r, err := open(t, adapterOf(t, "GLORA", `"r": 2`, append(slices.Clone(moduleOf["GLORA"].items[:4]), zeros...)...), Options{})
	if err != nil || len(r.Edits) != 1 || r.Edits[0].Param != "weight" {
		t.Errorf("without a bias: %v", err)
	}
	constants := []item{it(m+"glora_A.X", 1), it(m+"glora_B.X", 1)}
	r, err = open(t, adapterOf(t, "GLORA", `"config_A_B": "constant"`, append(constants, zeros...)...), Options{})
	if err != nil || len(r.Edits) != 1 {
		t.Errorf("constants: %v", err)
	}
	_, err = open(t, adapterOf(t, "GLORA", `"config_A_B": "vector"`, append(slices.Clone(moduleOf["GLORA"].items[:4]), zeros...)...), Options{})
	if e := (*MissingTensorError)(nil); !as(err, &e) || e.Want != "glora_A.X" {
		t.Errorf("another form: %v", err)
	}
	for _, fields := range []string{`"config_A_B": "full"`, `"config_C": "constant"`, `"config_D_E": "lora"`} {
		_, err := open(t, adapterOf(t, "GLORA", fields, moduleOf["GLORA"].items...), Options{})
		if e := (*FieldError)(nil); !as(err, &e) {
			t.Errorf("%s: %v", fields, err)
		}
	}
	_, err = open(t, adapterOf(t, "GLORA", `"r": 3`, moduleOf["GLORA"].items...), Options{})
	if e := (*RankError)(nil); !as(err, &e) || e.Got != 2 {
		t.Errorf("another rank: %v", err)
	}
}
