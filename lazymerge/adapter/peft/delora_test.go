package peft

func init() {
	moduleOf["DELORA"] = sample{`"r": 2`, []item{it("base_model.model.m.delora_A", 2, 3), it("base_model.model.m.delora_B", 4, 2),
		it("base_model.model.m.delora_lambda", 1), it("base_model.model.m.delora_w_norm", 3)}}
}
