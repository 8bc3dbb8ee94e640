package peft

import (
	"slices"
	"testing"

	"lorafs/lazymerge/transform"
)

func init() {
	moduleOf["PVERA"] = sample{`"r": 2`, []item{it("base_model.model.m.pvera_lambda_b", 4), it("base_model.model.m.pvera_lambda_d", 4),
		it("base_model.pvera_A", 4, 5), it("base_model.pvera_B", 6, 2)}}
}

// TestPVeRARank: each tensor that says the rank is held against the config.
func TestPVeRARank(t *testing.T) {
	for i := 1; i < 4; i++ {
		items := slices.Clone(moduleOf["PVERA"].items)
		items[i] = [...]item{1: it(items[1].name, 3), it(items[2].name, 3, 5), it(items[3].name, 6, 3)}[i]
		_, err := open(t, adapterOf(t, "PVERA", `"r": 2`, items...), Options{})
		if e := (*RankError)(nil); !as(err, &e) || e.Got != 3 || e.Tensor != items[i].name {
			t.Errorf("%s: %v", items[i].name, err)
		}
	}
}

// TestUnsavedProjections: they are drawn, and must not be in the file.
func TestUnsavedProjections(t *testing.T) {
	for _, kind := range []string{"VERA", "PVERA", "RANDLORA"} {
		items := moduleOf[kind].items
		fields := `"r": 2, "save_projection": false, "projection_prng_key": 5`
		r, err := open(t, adapterOf(t, kind, fields, items[:2]...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		switch d := r.Edits[0].Transform.(type) {
		case transform.DrawnVeRA:
			if d.Seed != 5 || d.Rank != 2 {
				t.Errorf("%s: %+v", kind, d)
			}
		case transform.DrawnRandLoRA:
			if d.Seed != 5 || d.Rank != 2 {
				t.Errorf("%s: %+v", kind, d)
			}
		default:
			t.Errorf("%s: %+v", kind, r.Edits)
		}
		_, err = open(t, adapterOf(t, kind, fields, items...), Options{})
		if e := (*FieldError)(nil); !as(err, &e) || e.Field != "save_projection" {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
