package peft

import "testing"

func init() {
	moduleOf["FROD"] = sample{"", []item{
		it("base_model.model.m.frod_lambda_l", 3), it("base_model.model.m.frod_lambda_s_values", 2),
		it("base_model.frod_V.m", 3, 3), it("base_model.frod_s_indices.m", 2, 2), it("base_model.frod_s_size.m", 2),
	}}
}

func TestCategory(t *testing.T) {
	for module, want := range map[string]string{
		"m": "m", "h.3.fc": "fc", "encoder.layer.0.attention.self.query": "self_query",
		"model.layers.0.self_attn.q_proj": "self_attn_q_proj", "encoder.layer.0.attention.output.dense": "attention_output",
		"encoder.layer.0.output.dense": "output_dense",
	} {
		if got := category(module); got != want {
			t.Errorf("%s is of %s, want %s", module, got, want)
		}
	}
}
