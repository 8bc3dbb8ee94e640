package peft

import "testing"

const vbloraFields = `"r": 2, "topk": 2, "num_vectors": 5, "vector_length": 2`

func init() {
	moduleOf["VBLORA"] = sample{vbloraFields, []item{it("base_model.model.m.vblora_logits_A", 2, 3, 5),
		it("base_model.model.m.vblora_logits_B", 2, 2, 5), it("base_model.vblora_vector_bank", 5, 2)}}
}

// chosenModule is a module of which the choices were saved.
func chosenModule() []item {
	return []item{it("base_model.model.m.vblora_logits_A_topk_indices", 2, 3, 2), it("base_model.model.m.vblora_logits_A_topk_weights", 2, 3, 1),
		it("base_model.model.m.vblora_logits_B_topk_indices", 2, 2, 2), it("base_model.model.m.vblora_logits_B_topk_weights", 2, 2, 1),
		it("base_model.vblora_vector_bank", 5, 2)}
}

func TestVBLoRAForms(t *testing.T) {
	const chosen = vbloraFields + `, "save_only_topk_weights": true`
	r, err := open(t, adapterOf(t, "VBLORA", chosen, chosenModule()...), Options{})
	if err != nil || len(r.Edits) != 1 || len(r.Edits[0].Keys) < 5 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i := range 4 {
		items := chosenModule()
		_, err := open(t, adapterOf(t, "VBLORA", chosen, append(items[:i:i], items[i+1:]...)...), Options{})
		if e := (*MissingTensorError)(nil); !as(err, &e) {
			t.Errorf("without %s: %v", items[i].name, err)
		}
	}
	for name, dir := range map[string]string{
		"logits, but choices are said": adapterOf(t, "VBLORA", chosen, moduleOf["VBLORA"].items...),
		"choices, but logits are said": adapterOf(t, "VBLORA", vbloraFields, chosenModule()...),
	} {
		_, err := open(t, dir, Options{})
		if e := (*MissingTensorError)(nil); !as(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for field, value := range map[string]string{"r": "3", "num_vectors": "4", "vector_length": "3", "topk": "3"} {
		_, err := open(t, adapterOf(t, "VBLORA", chosen+`, "`+field+`": `+value, chosenModule()...), Options{})
		if err == nil {
			t.Errorf("%s = %s passes", field, value)
		}
	}
}
