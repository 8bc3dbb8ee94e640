package peft

import (
	"testing"

	"lorafs/lazymerge/transform"
)

func init() {
	moduleOf["GRALORA"] = sample{`"r": 4, "gralora_k": 2, "hybrid_r": 1`, []item{it("base_model.model.m.gralora_A", 2, 3, 4), it("base_model.model.m.gralora_B", 2, 4, 2),
		it("base_model.model.m.gralora_A_general.weight", 1, 6), it("base_model.model.m.gralora_B_general.weight", 4, 1)}}
}

func TestGraLoRAScale(t *testing.T) {
	m := moduleOf["GRALORA"]
	for fields, want := range map[string]float64{
		m.fields + `, "alpha": 10`: 2,
		m.fields:                   64.0 / 5,
	} {
		r, err := open(t, adapterOf(t, "GRALORA", fields, m.items...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Edits[0].Transform.(transform.Addition).Scale; got != want {
			t.Errorf("%s: scale %g, want %g", fields, got, want)
		}
	}
	for _, fields := range []string{`"r": 5, "gralora_k": 2`, `"gralora_k": 0`, `"hybrid_r": -1`} {
		_, err := open(t, adapterOf(t, "GRALORA", fields, m.items...), Options{})
		if e := (*FieldError)(nil); !as(err, &e) {
			t.Errorf("%s: %v", fields, err)
		}
	}
	_, err := open(t, adapterOf(t, "GRALORA", `"r": 4, "hybrid_r": 0`, m.items...), Options{})
	if e := (*UnknownTensorsError)(nil); !as(err, &e) || len(e.Tensors) != 2 {
		t.Errorf("general factors without hybrid_r: %v", err)
	}
}
