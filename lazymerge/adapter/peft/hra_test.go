package peft

func init() {
	moduleOf["HRA"] = sample{`"r": 2`, []item{it("base_model.model.m.hra_u", 3, 2)}}
}
