package lazymerge_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge"
	"lorafs/lazymerge/transform"
)

// TestLostTensor leaves one of two layers out of an adapter with one tensor a module.
func TestLostTensor(t *testing.T) {
	const config = `{"peft_type": "IA3", "target_modules": ["k_proj"], "feedforward_modules": []`
	for end, warned := range map[string]bool{"}": true, `, "exclude_modules": ["1.self_attn.k_proj"]}`: false} {
		base, adapter := made(t, sized,
			[]tensor{ones("model.layers.0.self_attn.k_proj.weight", 4, 4), ones("model.layers.1.self_attn.k_proj.weight", 4, 4), ones("model.embed_tokens.weight", 6, 4)},
			"",
			[]tensor{ones("base_model.model.model.layers.0.self_attn.k_proj.ia3_l", 4, 1)})
		writeText(t, filepath.Join(adapter, "adapter_config.json"), config+end)
		m := openPair(t, base, adapter, lazymerge.Options{})
		got := slices.ContainsFunc(m.Report().Warnings, func(w transform.Warning) bool {
			return strings.Contains(w.Text, "model.layers.1.self_attn.k_proj") && strings.Contains(w.Text, "hold nothing")
		})
		if got != warned {
			t.Errorf("%s: warnings %q", end, m.Report().Warnings)
		}
	}
}
