package peft

func init() {
	moduleOf["BOFT"] = sample{"", []item{it("base_model.model.m.boft_R", 1, 2, 3, 3), it("base_model.model.m.boft_s", 4, 1)}}
}
