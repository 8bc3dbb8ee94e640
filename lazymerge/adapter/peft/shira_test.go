package peft

func init() {
	moduleOf["SHIRA"] = sample{`"r": 1`, []item{it("base_model.model.m.shira_weight", 7), it("base_model.model.m.shira_indices", 2, 7)}}
}
