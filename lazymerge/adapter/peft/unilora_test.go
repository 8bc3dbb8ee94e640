package peft

import (
	"testing"

	"lorafs/lazymerge/transform"
)

func init() {
	moduleOf["UNILORA"] = sample{`"r": 2, "theta_d_length": 5, "save_indices": true`, []item{
		it("base_model.model.m.unilora_indices_A", 2, 3), it("base_model.model.m.unilora_indices_B", 4, 2),
		it("base_model.model.m.unilora_scales_A", 2, 3), it("base_model.model.m.unilora_scales_B", 4, 2), it("base_model.unilora_theta_d", 5)}}
}

// TestUniLoRAWithoutIndices: the file has the vector alone, and the config says the
// modules.
func TestUniLoRAWithoutIndices(t *testing.T) {
	const fields = `"r": 2, "theta_d_length": 5, "proj_seed": 3, "target_modules": `
	theta := it("base_model.unilora_theta_d", 5)
	for target, means := range map[string][2]string{`["q", "a.v"]`: {"x.q", "x.v"}, `".*\\.q"`: {"x.q", "q"}} {
		r, err := open(t, adapterOf(t, "UNILORA", fields+target, theta), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := r.Everywhere.Edit.Transform.(transform.DrawnUniLoRA); !ok || d.Seed != 3 || d.Rank != 2 || len(r.Edits) != 0 {
			t.Errorf("%s: %+v", target, r)
		}
		for i, module := range means {
			if ok, err := r.Everywhere.Means(module); ok != (i == 0) || err != nil {
				t.Errorf("%s means %s: %v, %v", target, module, ok, err)
			}
		}
	}
	for _, more := range []string{`"all-linear"`, `null`, `["q"], "layers_to_transform": [1]`} {
		_, err := open(t, adapterOf(t, "UNILORA", fields+more, theta), Options{})
		if e := (*UnsupportedError)(nil); !as(err, &e) {
			t.Errorf("%s: %v", more, err)
		}
	}
	_, err := open(t, adapterOf(t, "UNILORA", fields+`["m"]`, moduleOf["UNILORA"].items...), Options{})
	if e := (*FieldError)(nil); !as(err, &e) || e.Field != "save_indices" {
		t.Errorf("with indices: %v", err)
	}
}
