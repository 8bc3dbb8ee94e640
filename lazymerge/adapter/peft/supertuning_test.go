package peft

import (
	"slices"
	"testing"
)

func init() {
	moduleOf["SUPERTUNING"] = sample{`"r": 2`, []item{it("base_model.model.m.supertuning_values", 2), it("base_model.model.m.supertuning_indices", 2),
		it("base_model.model.m.supertuning_lora_A.weight", 2, 3), it("base_model.model.m.supertuning_lora_B.weight", 4, 2)}}
}

func TestSupertuningForms(t *testing.T) {
	items := moduleOf["SUPERTUNING"].items
	if r, err := open(t, adapterOf(t, "SUPERTUNING", "", items[:2]...), Options{}); err != nil || len(r.Edits) != 1 {
		t.Errorf("without a product: %v", err)
	}
	_, err := open(t, adapterOf(t, "SUPERTUNING", "", items...), Options{})
	if e := (*UnknownTensorsError)(nil); !as(err, &e) || len(e.Tensors) != 2 {
		t.Errorf("a product without a rank: %v", err)
	}
	_, err = open(t, adapterOf(t, "SUPERTUNING", `"r": 3`, items...), Options{})
	if e := (*RankError)(nil); !as(err, &e) || e.Got != 2 {
		t.Errorf("another rank: %v", err)
	}
	_, err = open(t, adapterOf(t, "SUPERTUNING", `"save_precomputed_indices": false`, items[0]), Options{})
	if e := (*UnsupportedError)(nil); !as(err, &e) || e.Field != "save_precomputed_indices" {
		t.Errorf("without positions: %v", err)
	}
}

// TestSupertuningUntrained: either part makes a module trained.
func TestSupertuningUntrained(t *testing.T) {
	for _, x := range []struct {
		zero []int
		want int
	}{{[]int{0, 3}, 1}, {[]int{0}, 0}, {[]int{3}, 0}} {
		items := slices.Clone(moduleOf["SUPERTUNING"].items)
		for _, i := range x.zero {
			items[i] = items[i].with(0)
		}
		r, err := open(t, adapterOf(t, "SUPERTUNING", `"r": 2`, items...), Options{})
		if err != nil || len(r.Warnings) != x.want {
			t.Errorf("zeros in %v: %v, %v", x.zero, r, err)
		}
	}
}
