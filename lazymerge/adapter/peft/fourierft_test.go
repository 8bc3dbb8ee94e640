package peft

func init() {
	moduleOf["FOURIERFT"] = sample{`"n_frequency": 5`, []item{it("base_model.model.m.fourierft_spectrum", 5)}}
}
