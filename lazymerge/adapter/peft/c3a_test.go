package peft

import "testing"

func init() {
	moduleOf["C3A"] = sample{`"block_size": 2`, []item{it("base_model.model.m.c3a_kernel", 2, 3, 2)}}
}

func TestC3ABlockSizes(t *testing.T) {
	const m = "base_model.model.a.m.c3a_kernel"
	for fields, ok := range map[string]bool{
		`"block_size": 2`: true, `"block_size": 3`: false, `"block_size": 3, "block_size_pattern": {"m": 2}`: true,
		`"block_size": 2, "block_size_pattern": {".*a.m": 3}`: true, // a part has to precede it
	} {
		_, err := open(t, adapterOf(t, "C3A", fields, it(m, 2, 3, 2)), Options{})
		if e := (*RankError)(nil); ok != (err == nil) || err != nil && (!as(err, &e) || e.Got != 2) {
			t.Errorf("%s: %v", fields, err)
		}
	}
}
