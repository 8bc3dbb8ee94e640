package peft

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/lazymerge/transform/torchrand"
)

func init() {
	moduleOf["TINYLORA"] = sample{`"r": 2, "u": 3`, []item{it("base_model.model.m.tinylora_A", 2, 3), it("base_model.model.m.tinylora_B", 4, 2),
		it("base_model.model.m.tinylora_P", 3, 2, 2), it("base_model.tinylora_v.0", 3)}}
}

// TestTinyLoRAGroups: modules find their vectors by what their projections were drawn
// from, in whichever order the file names them.
func TestTinyLoRAGroups(t *testing.T) {
	const seed = 11
	order := []string{"z", "b", "m", "a", "c"} // of the model
	var items []item
	for place, m := range order {
		var drawn []float32
		if err := torchrand.New(seed+int64(place)).Normal(t.Context(), 12, 0.70710678, func(_ int64, x float32) { drawn = append(drawn, x) }); err != nil {
			t.Fatal(err)
		}
		items = append(items, it("base_model.model."+m+".tinylora_A", 2, 3), it("base_model.model."+m+".tinylora_B", 4, 2),
			it("base_model.model."+m+".tinylora_P", 3, 2, 2).with(drawn...))
	}
	for tying, groups := range map[string][]int{
		"0":    {0, 1, 2, 3, 4},
		"0.5":  {0, 0, 1, 1, 1}, // 2.5 is rounded to even
		"0.45": {0, 1, 2, 2, 2},
		"1":    {0, 0, 0, 0, 0},
	} {
		whole := slices.Clone(items)
		for g := range slices.Max(groups) + 1 {
			whole = append(whole, it(fmt.Sprintf("base_model.tinylora_v.%d", g), 3))
		}
		fields := fmt.Sprintf(`"u": 3, "projection_seed": %d, "weight_tying": %s`, seed, tying)
		r, err := open(t, adapterOf(t, "TINYLORA", fields, whole...), Options{})
		if err != nil {
			t.Fatalf("%s: %v", tying, err)
		}
		for _, e := range r.Edits {
			want := fmt.Sprintf("base_model.tinylora_v.%d", groups[slices.Index(order, e.Module)])
			if !slices.Contains(e.Keys, want) {
				t.Errorf("weight_tying %s: %s takes %v, want %s", tying, e.Module, e.Keys, want)
			}
		}
		_, err = open(t, adapterOf(t, "TINYLORA", strings.Replace(fields, "11", "12345", 1), whole...), Options{})
		if e := (*UnsupportedError)(nil); as(err, &e) != (tying != "1") {
			t.Errorf("weight_tying %s, another seed: %v", tying, err)
		}
	}
}
func TestTinyLoRAWithoutProjections(t *testing.T) {
	m := moduleOf["TINYLORA"]
	fields := m.fields + `, "save_projection": false, "projection_seed": 9`
	items := append(m.items[:2:2], m.items[3])
	r, err := open(t, adapterOf(t, "TINYLORA", fields, items...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := r.Edits[0].Transform.(transform.DrawnTinyLoRA); !ok || d.Seed != 9 || len(d.Shared) != 1 {
		t.Errorf("%+v", r.Edits)
	}
	_, err = open(t, adapterOf(t, "TINYLORA", fields, m.items...), Options{})
	if e := (*FieldError)(nil); !as(err, &e) || e.Field != "save_projection" {
		t.Errorf("with projections: %v", err)
	}
	_, err = open(t, adapterOf(t, "TINYLORA", fields, m.items[:2]...), Options{})
	if e := (*MissingTensorError)(nil); !as(err, &e) {
		t.Errorf("without the vector: %v", err)
	}
}
