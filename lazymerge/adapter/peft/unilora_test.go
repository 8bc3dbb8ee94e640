package peft

func init() {
	moduleOf["UNILORA"] = sample{`"r": 2, "theta_d_length": 5, "save_indices": true`, []item{
		it("base_model.model.m.unilora_indices_A", 2, 3), it("base_model.model.m.unilora_indices_B", 4, 2),
		it("base_model.model.m.unilora_scales_A", 2, 3), it("base_model.model.m.unilora_scales_B", 4, 2), it("base_model.unilora_theta_d", 5)}}
}
