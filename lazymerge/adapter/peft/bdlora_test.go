package peft

import (
	"testing"

	"lorafs/lazymerge/transform"
)

func TestBdLoRA(t *testing.T) {
	items := []item{it("base_model.model.a.q.lora_A.weight", 4, 6), it("base_model.model.a.q.lora_B.weight", 8, 2),
		it("base_model.model.a.o.lora_A.weight", 4, 3), it("base_model.model.a.o.lora_B.weight", 8, 4),
		it("base_model.model.plain.lora_A.weight", 4, 6), it("base_model.model.plain.lora_B.weight", 8, 4)}
	const bd = `"r": 4, "use_bdlora": {"target_modules_bd_a": ["a.o"], "target_modules_bd_b": ["q"], "nblocks": 2, "match_strict": `
	r, err := open(t, adapterOf(t, "LORA", bd+"false}", items...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Edits {
		f, ok := e.Transform.(transform.Factors)
		_, a := f.A.(transform.Diagonal)
		_, b := f.B.(transform.Diagonal)
		if !ok || a != (e.Module == "a.o") || b != (e.Module == "a.q") || f.Class != transform.Double || f.Scale != 2 {
			t.Errorf("%s: %+v", e.Module, e.Transform)
		}
	}
	for name, fields := range map[string]string{
		"not named":     bd + "true}",
		"twice":         `"r": 4, "use_bdlora": {"target_modules_bd_a": ["a", "plain"], "target_modules_bd_b": ["q"], "nblocks": 2}`,
		"no names":      `"r": 4, "use_bdlora": {"target_modules_bd_a": "a"}`,
		"no blocks":     `"r": 4, "use_bdlora": {"nblocks": 0}`,
		"unknown field": `"r": 4, "use_bdlora": {"nblock": 2}`,
	} {
		_, err := open(t, adapterOf(t, "LORA", fields, items...), Options{})
		if e := (*FieldError)(nil); !as(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	embedding := []item{it("base_model.model.e.lora_embedding_A", 4, 9), it("base_model.model.e.lora_embedding_B", 6, 4)}
	_, err = open(t, adapterOf(t, "LORA", bd+"false}", embedding...), Options{})
	if e := (*FieldError)(nil); !as(err, &e) {
		t.Errorf("an embedding: %v", err)
	}
	_, err = open(t, adapterOf(t, "LORA", bd+`false}, "use_dora": true`, items...), Options{})
	if e := (*UnsupportedError)(nil); !as(err, &e) || e.Field != "use_bdlora" {
		t.Errorf("with DoRA: %v", err)
	}
}
