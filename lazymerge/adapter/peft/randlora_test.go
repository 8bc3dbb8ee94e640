package peft

import "testing"

func init() {
	moduleOf["RANDLORA"] = sample{`"r": 2`, []item{it("base_model.model.m.randlora_lambda", 2, 2), it("base_model.model.m.randlora_gamma", 2, 3),
		it("base_model.randlora_A", 2, 1, 5), it("base_model.randlora_B", 6, 3, 2)}}
}

// TestRandLoRARepeats: PEFT saves the shared matrices again in each module, as the
// same.
func TestRandLoRARepeats(t *testing.T) {
	m := moduleOf["RANDLORA"]
	again := it("base_model.model.m.randlora_A", 2, 1, 5)
	if _, err := open(t, adapterOf(t, "RANDLORA", m.fields, append(m.items[:4:4], again)...), Options{}); err != nil {
		t.Error(err)
	}
	_, err := open(t, adapterOf(t, "RANDLORA", m.fields, append(m.items[:4:4], again.with(5))...), Options{})
	if e := (*DuplicateTensorError)(nil); !as(err, &e) {
		t.Error(err)
	}
}
