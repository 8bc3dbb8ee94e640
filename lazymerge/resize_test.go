package lazymerge_test

import (
	"errors"
	"path/filepath"
	"testing"

	"lorafs/lazymerge/transform"
)

const sized = `{"model_type":"llama","architectures":["LlamaForCausalLM"],"vocab_size":6}`

// TestNormsKeepTheirSize gives a norm of four a trained one of five.
func TestNormsKeepTheirSize(t *testing.T) {
	base, adapter := made(t, sized,
		[]tensor{ones("model.norm.weight", 4), ones("model.embed_tokens.weight", 6, 4)},
		"",
		[]tensor{ones("base_model.model.model.norm.ln_tuning_layers.weight", 5)})
	writeText(t, filepath.Join(adapter, "adapter_config.json"), `{"peft_type": "LN_TUNING", "target_modules": ["norm"]}`)
	var shape *transform.ShapeError
	if err := openError(t, base, adapter); !errors.As(err, &shape) || shape.Tensor != "model.norm.weight" {
		t.Errorf("got %v", err)
	}
}

// TestOnlyVocabulariesAreResized saves whole modules with one row more than the base's.
func TestOnlyVocabulariesAreResized(t *testing.T) {
	weights := []tensor{
		ones("model.embed_tokens.weight", 6, 4), ones("model.layers.0.mlp.up_proj.weight", 5, 4),
		ones("model.layers.0.mlp.down_proj.bias", 4), ones("lm_head.weight", 6, 4),
	}
	for name, c := range map[string]struct {
		module string
		fits   bool
	}{
		"model.embed_tokens.weight":         {"embed_tokens", true},
		"lm_head.weight":                    {"lm_head", true},
		"model.layers.0.mlp.up_proj.weight": {"up_proj", false},
		"model.layers.0.mlp.down_proj.bias": {"down_proj", false},
	} {
		var more tensor
		for _, w := range weights {
			if w.name == name {
				more = ones("base_model.model."+name, append([]int64{w.shape[0] + 1}, w.shape[1:]...)...)
			}
		}
		base, adapter := made(t, sized, weights, "", []tensor{more})
		writeText(t, filepath.Join(adapter, "adapter_config.json"),
			`{"peft_type": "LORA", "target_modules": [], "modules_to_save": ["`+c.module+`"]}`)
		err := openError(t, base, adapter)
		var shape *transform.ShapeError
		if !c.fits && (!errors.As(err, &shape) || shape.Tensor != name) || c.fits && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
