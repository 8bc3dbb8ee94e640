package peft

import "testing"

func init() {
	moduleOf["BOFT"] = sample{"", []item{it("base_model.model.m.boft_R", 1, 2, 3, 3), it("base_model.model.m.boft_s", 4, 1)}}
}

func TestBOFTLayers(t *testing.T) {
	for _, c := range []struct {
		config string
		layers int64
		fits   bool
	}{{"", 1, true}, {"", 2, false}, {`"boft_n_butterfly_factor": 2`, 2, true}, {`"boft_n_butterfly_factor": 2`, 1, true}, {`"boft_n_butterfly_factor": 2`, 3, false}} {
		items := []item{it("base_model.model.m.boft_R", c.layers, 2, 4, 4), it("base_model.model.m.boft_s", 4, 1)}
		_, err := open(t, adapterOf(t, "BOFT", c.config, items...), Options{})
		if e := (*RankError)(nil); c.fits && err != nil || !c.fits && !as(err, &e) {
			t.Errorf("%q with %d layers: %v", c.config, c.layers, err)
		}
	}
}
