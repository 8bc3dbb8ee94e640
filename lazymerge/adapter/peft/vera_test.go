package peft

import "testing"

func init() {
	moduleOf["PVERA"] = sample{`"r": 2`, []item{it("base_model.model.m.pvera_lambda_b", 4), it("base_model.model.m.pvera_lambda_d", 4),
		it("base_model.pvera_A", 4, 5), it("base_model.pvera_B", 6, 2)}}
}

// TestPVeRARank: each tensor that says the rank is held against the config.
func TestPVeRARank(t *testing.T) {
	for i := 1; i < 4; i++ {
		items := renamed(moduleOf["PVERA"].items, func(s string) string { return s })
		items[i] = [...]item{1: it(items[1].name, 3), it(items[2].name, 3, 5), it(items[3].name, 6, 3)}[i]
		_, err := open(t, adapterOf(t, "PVERA", `"r": 2`, items...), Options{})
		if e := (*RankError)(nil); !as(err, &e) || e.Got != 3 || e.Tensor != items[i].name {
			t.Errorf("%s: %v", items[i].name, err)
		}
	}
}
