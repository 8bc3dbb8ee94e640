package resolve

import (
	"fmt"
	"testing"
)

func BenchmarkFindAll(b *testing.B) {
	lines()
	for _, kind := range []string{"llama", "llava", "vit"} {
		b.Run(kind, func(b *testing.B) {
			names, modules := benchNames(kind)
			for b.Loop() {
				x := New(Base{Names: names, ModelType: kind, Architectures: []string{benchClass[kind]}})
				for _, m := range modules {
					if _, err := x.Find(m, "weight"); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkTables(b *testing.B) {
	for b.Loop() {
		if len(split(tables)) == 0 {
			b.Fatal("no tables")
		}
	}
}

var benchClass = map[string]string{"llama": "LlamaForCausalLM", "llava": "LlavaForConditionalGeneration", "vit": "ViTForImageClassification"}

// benchNames makes about 1000 disk names and the runtime modules of an adapter.
func benchNames(kind string) (names, modules []string) {
	disk, runtime, layers := "model.layers.%d.", "model.layers.%d.", 100
	parts := []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm"}
	names = []string{"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
	after := parts
	switch kind {
	case "llava":
		disk, runtime = "language_model.model.layers.%d.", "model.language_model.layers.%d."
		names = []string{"language_model.model.embed_tokens.weight", "language_model.model.norm.weight", "language_model.lm_head.weight", "multi_modal_projector.linear_1.weight"}
		for i := range 24 {
			for _, p := range []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2", "layer_norm1", "layer_norm2"} {
				names = append(names, fmt.Sprintf("vision_tower.vision_model.encoder.layers.%d.%s.weight", i, p))
			}
		}
	case "vit":
		disk, runtime = "vit.encoder.layer.%d.", "vit.layers.%d."
		names = []string{"vit.embeddings.cls_token", "classifier.weight"}
		parts = []string{"attention.attention.query", "attention.attention.key", "attention.attention.value", "attention.output.dense", "intermediate.dense", "output.dense", "layernorm_before", "layernorm_after"}
		after = []string{"attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2", "layernorm_before", "layernorm_after"}
	}
	for i := range layers {
		for j, p := range parts {
			names = append(names, fmt.Sprintf(disk, i)+p+".weight")
			modules = append(modules, fmt.Sprintf(runtime, i)+after[j])
		}
	}
	return names, modules
}
