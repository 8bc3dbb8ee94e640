package peft

import "testing"

func init() {
	moduleOf["HIRA"] = sample{`"r": 2`, []item{it("base_model.model.m.hira_A", 2, 3), it("base_model.model.m.hira_B", 4, 2)}}
}

func TestHiRAOfTwoKinds(t *testing.T) {
	items := append(moduleOf["HIRA"].items[:2:2], it("base_model.model.m.hira_embedding_A", 2, 3), it("base_model.model.m.hira_embedding_B", 4, 2))
	_, err := open(t, adapterOf(t, "HIRA", `"r": 2`, items...), Options{})
	if e := (*UnknownTensorsError)(nil); !as(err, &e) || len(e.Tensors) != 2 {
		t.Error(err)
	}
}
