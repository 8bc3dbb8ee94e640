package peft

func init() {
	moduleOf["PEANUT"] = sample{`"r": 2, "depth": 1`, []item{
		it("base_model.model.m.peanut_A.weight", 2, 4), it("base_model.model.m.peanut_B.weight", 4, 2),
		it("base_model.model.m.peanut_encoders.0.weight", 2, 2), it("base_model.model.m.peanut_decoders.0.weight", 2, 2),
	}}
}
