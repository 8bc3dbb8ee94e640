package resolve

import (
	"errors"
	"slices"
	"testing"
)

// TestPlaces: modules in the order of named_modules, whatever prefix their class has.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		kind, class string
		modules     []string // in their order
	}{
		{"llama", "LlamaForCausalLM", []string{
			"model.embed_tokens", "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.o_proj",
			"model.layers.0.mlp.gate_proj", "model.layers.0.mlp.down_proj", "model.layers.2.self_attn.v_proj", "model.layers.10.self_attn.q_proj", "lm_head"}},
		{"llama", "LlamaForCausalLM", []string{"embed_tokens", "layers.0.self_attn.q_proj", "layers.0.mlp.up_proj"}},
		{"llama", "LlamaModel", []string{"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj", "lm_head"}},
		{"gpt2", "GPT2LMHeadModel", []string{"transformer.wte", "transformer.wpe", "transformer.h.1.attn.c_attn", "transformer.h.1.attn.c_proj", "transformer.h.1.mlp.c_fc"}},
		{"t5", "T5ForConditionalGeneration", []string{"shared", "encoder.block.1.layer.1.DenseReluDense.wi", "decoder.block.0.layer.0.SelfAttention.q",
			"decoder.block.0.layer.1.EncDecAttention.q", "decoder.block.0.layer.2.DenseReluDense.wo", "lm_head"}},
	} {
		x := New(Base{Names: []string{"x.weight"}, ModelType: c.kind, Architectures: []string{c.class}})
		shuffled := slices.Clone(c.modules)
		slices.Sort(shuffled)
		places, err := x.Places(shuffled)
		if err != nil {
			t.Errorf("%s: %v", c.class, err)
			continue
		}
		got := make([]string, len(places))
		for i, p := range places {
			got[p] = shuffled[i]
		}
		if !slices.Equal(got, c.modules) {
			t.Errorf("%s: %v, want %v", c.class, got, c.modules)
		}
	}
	for _, b := range []Base{{}, {ModelType: "llama", Architectures: []string{"LlamaForCausalLM"}}} {
		_, err := New(b).Places([]string{"model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.qkv"})
		if e := (*OrderError)(nil); !errors.As(err, &e) {
			t.Errorf("%+v: %v", b, err)
		}
	}
}

// TestOrdersAreWhole: every tree of the table can be read, and those that are the same
// as another's lead to one.
func TestOrdersAreWhole(t *testing.T) {
	if len(orderLines()) < 1500 {
		t.Fatalf("%d classes", len(orderLines()))
	}
	for class := range orderLines() {
		tree := orderTrees{}.of(class)
		if len(tree.names) == 0 || slices.Contains(tree.names, "") {
			t.Errorf("%s: %v", class, tree.names)
		}
	}
}

// TestUnplaced: a layer of a kind that the class's tree has not has no place.
func TestUnplaced(t *testing.T) {
	x := New(Base{ModelType: "deepseek_v2", Architectures: []string{"DeepseekV2ForCausalLM"}, Names: []string{
		"model.embed_tokens.weight", "model.layers.0.self_attn.o_proj.weight", "model.layers.0.mlp.another.weight",
	}})
	placed, unplaced := x.Modules()
	if !slices.Contains(placed, "model.layers.0.self_attn.o_proj") || !slices.Equal(unplaced, []string{"model.layers.0.mlp.another"}) {
		t.Errorf("placed %q, unplaced %q", placed, unplaced)
	}
}
