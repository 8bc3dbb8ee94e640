package peft

import "testing"

func init() {
	moduleOf["HRA"] = sample{`"r": 2`, []item{it("base_model.model.m.hra_u", 3, 2)}}
}

func TestHRARank(t *testing.T) {
	_, err := open(t, adapterOf(t, "HRA", `"r": 3`, moduleOf["HRA"].items...), Options{})
	if e := (*RankError)(nil); !as(err, &e) || e.Config != 3 || e.Got != 2 {
		t.Error(err)
	}
}
