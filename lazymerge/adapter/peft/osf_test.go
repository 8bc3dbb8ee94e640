package peft

import "testing"

func init() {
	moduleOf["OSF"] = sample{`"effective_rank": 1`, []item{
		it("base_model.model.m.osf_svd_params.U_low", 4, 2), it("base_model.model.m.osf_svd_params.S_low", 2),
		it("base_model.model.m.osf_svd_params.V_low", 2, 3),
	}}
}

func TestKeptRank(t *testing.T) {
	for _, x := range []struct {
		text    string
		n, want int64
	}{
		{"3", 10, 3}, {"30", 10, 10}, {"1", 10, 1}, {"1.0", 10, 10}, {"0.39", 10, 3}, {"2.7", 10, 2}, {"null", 11, 5},
	} {
		v := new(values)
		if got := v.keptRank("effective_rank", []byte(x.text)).of(x.n); got != x.want || v.err != nil {
			t.Errorf("%s of %d: %d, want %d, %v", x.text, x.n, got, x.want, v.err)
		}
	}
	for _, text := range []string{"0", "-1", "0.0", `"all"`, "-0.5"} {
		if v := new(values); v.keptRank("effective_rank", []byte(text)) != (keptRank{}) && v.err == nil {
			t.Errorf("%s is read", text)
		}
	}
}
