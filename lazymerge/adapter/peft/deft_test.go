package peft

func init() {
	moduleOf["DEFT"] = sample{`"r": 2`, []item{it("base_model.model.m.deft_P", 4, 2), it("base_model.model.m.deft_R", 2, 3)}}
}
