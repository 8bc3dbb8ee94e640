package lazymerge_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/peft"
)

// layered is a base of which only the names matter, and an adapter with one tensor pair
// for each module.
type layered struct {
	name    string
	config  string
	base    []string // modules with weights
	fields  string   // of adapter_config.json
	adapter []string // modules, as the adapter names them
	lost    []string // modules that the error names; none: it opens
	doubt   string   // a module that a warning names
}

// each puts the numbers up to n into a name.
func each(n int, names ...string) []string {
	var all []string
	for i := range n {
		for _, name := range names {
			all = append(all, strings.Replace(name, "#", fmt.Sprint(i), 1))
		}
	}
	return all
}

func without(all []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(names, n) })
}

func targets(names ...string) string {
	return fmt.Sprintf(`, "target_modules": ["%s"]`, strings.Join(names, `", "`))
}

const (
	q, k, up  = "model.layers.#.self_attn.q_proj", "model.layers.#.self_attn.k_proj", "model.layers.#.mlp.up_proj"
	deepseek  = `{"model_type": "deepseek_v3", "num_hidden_layers": 3, "num_nextn_predict_layers": 1}`
	gemma3n   = `{"model_type": "gemma3n", "text_config": {"model_type": "gemma3n_text", "num_hidden_layers": 4, "num_kv_shared_layers": 2}}`
	textK     = "model.language_model.layers.#.self_attn.k_proj"
	textQ     = "model.language_model.layers.#.self_attn.q_proj"
	visionQ   = "model.vision_tower.vision_model.encoder.layers.#.self_attn.q_proj"
	whisper   = `{"model_type": "whisper", "encoder_layers": 2, "decoder_layers": 3}`
	encoderQ  = "model.encoder.layers.#.self_attn.q_proj"
	decoderQ  = "model.decoder.layers.#.self_attn.q_proj"
	llama     = `{"model_type": "llama", "num_hidden_layers": 4}`
	expert    = "model.layers.0.mlp.experts.#.up_proj"
	moe       = `{"model_type": "qwen3_moe", "num_hidden_layers": 1, "num_experts": 4}`
	gpt2      = `{"model_type": "gpt2", "architectures": ["GPT2Model"], "n_layer": 3}`
	nextQ     = "model.layers.3.self_attn.q_proj"
	t5        = `{"model_type": "t5", "num_layers": 2, "num_decoder_layers": 2}`
	jamba     = `{"model_type": "jamba", "num_hidden_layers": 2}`
	mamba     = "model.layers.#.mamba.in_proj"
	nextState = "model.layers.#.linear_attn.out_proj"
)

var layereds = []layered{
	{"whole", llama, each(4, q, k), targets("q_proj", "k_proj"), each(4, q, k), nil, ""},
	{"inner layer", llama, each(4, q), targets("q_proj"), without(each(4, q), "model.layers.1.self_attn.q_proj"), []string{"model.layers.1.self_attn.q_proj"}, ""},
	{"last layer", llama, each(4, q), targets("q_proj"), each(3, q), []string{"model.layers.3.self_attn.q_proj"}, ""},
	{"last layer beside another", `{}`, each(4, q, k), targets("q_proj", "k_proj"), without(each(4, q, k), "model.layers.3.self_attn.k_proj"), []string{"model.layers.3.self_attn.k_proj"}, ""},
	{"last layer without a count", `{}`, each(4, q), targets("q_proj"), each(3, q), nil, "model.layers.3.self_attn.q_proj"},
	{"kind in all layers", llama, each(1, q, up), targets("q_proj", "up_proj"), each(1, q), []string{"model.layers.0.mlp.up_proj"}, ""},
	{"layer that predicts further tokens", deepseek, each(4, q), targets("q_proj"), each(3, q), nil, ""},
	{"last layer before it", deepseek, each(4, q), targets("q_proj"), each(2, q), []string{"model.layers.2.self_attn.q_proj"}, ""},
	{"tree of such layers", `{"num_hidden_layers": 4}`, append(each(3, nextState), nextQ, "mtp.layers.0.self_attn.q_proj"), targets("q_proj", "out_proj"), append(each(3, nextState), nextQ), nil, ""},
	{"hybrid layers", `{"num_hidden_layers": 4}`, append(each(3, nextState), nextQ), targets("q_proj", "out_proj"), append(each(2, nextState), nextQ), []string{"model.layers.2.linear_attn.out_proj"}, ""},
	{"shared keys", gemma3n, each(4, textQ, textK), targets("q_proj", "k_proj"), append(each(4, textQ), each(2, textK)...), nil, ""},
	{"keys before them", gemma3n, each(4, textQ, textK), targets("q_proj", "k_proj"), append(each(4, textQ), each(1, textK)...), []string{"model.language_model.layers.1.self_attn.k_proj"}, ""},
	{"shared keys that were in memory", gemma3n, each(4, textQ, textK), targets("q_proj", "k_proj"), append(each(4, textQ), append(each(2, textK), "model.language_model.layers.3.self_attn.k_proj")...), []string{"model.language_model.layers.2.self_attn.k_proj"}, ""},
	{"tower that was not loaded", gemma3n, append(each(4, textQ), each(3, visionQ)...), targets("q_proj"), each(4, textQ), nil, ""},
	{"tower with its own count", `{"text_config": {"num_hidden_layers": 4}, "vision_config": {"num_hidden_layers": 3}}`, append(each(4, textQ), each(3, visionQ)...), targets("q_proj"), append(each(4, textQ), each(2, visionQ)...), []string{"model.vision_tower.vision_model.encoder.layers.2.self_attn.q_proj"}, ""},
	{"decoder with its own count", whisper, append(each(2, encoderQ), each(3, decoderQ)...), targets("q_proj"), append(each(2, encoderQ), each(2, decoderQ)...), []string{"model.decoder.layers.2.self_attn.q_proj"}, ""},
	{"encoder alone", whisper, append(each(2, encoderQ), each(3, decoderQ)...), targets("q_proj"), each(2, encoderQ), nil, ""},
	{"T5", `{"model_type": "t5", "num_layers": 2, "num_decoder_layers": 2}`, append(each(2, "encoder.block.#.layer.0.SelfAttention.q"), each(2, "decoder.block.#.layer.1.EncDecAttention.q")...), targets("q"), append(each(2, "encoder.block.#.layer.0.SelfAttention.q"), each(1, "decoder.block.#.layer.1.EncDecAttention.q")...), []string{"decoder.block.1.layer.1.EncDecAttention.q"}, ""},
	{"shared layers", `{"num_hidden_layers": 12, "num_hidden_groups": 1}`, []string{"encoder.albert_layer_groups.0.albert_layers.0.attention.query"}, targets("query"), []string{"encoder.albert_layer_groups.0.albert_layers.0.attention.query"}, nil, ""},
	{"prefix", gpt2, each(3, "h.#.mlp.c_proj"), targets("c_proj"), without(each(3, "transformer.h.#.mlp.c_proj"), "transformer.h.1.mlp.c_proj"), []string{"transformer.h.1.mlp.c_proj"}, ""},
	{"prefix of a pattern", gpt2, each(3, "h.#.mlp.c_proj"), `, "target_modules": "transformer\\.h\\.[01]\\.mlp\\.c_proj"`, each(1, "transformer.h.#.mlp.c_proj"), []string{"transformer.h.1.mlp.c_proj"}, ""},
	{"layers that were chosen", llama, each(4, q), targets("q_proj") + `, "layers_to_transform": [0, 2]`, []string{"model.layers.0.self_attn.q_proj", "model.layers.2.self_attn.q_proj"}, nil, ""},
	{"one of them", llama, each(4, q), targets("q_proj") + `, "layers_to_transform": [0, 2], "layers_pattern": "layers"`, each(1, q), []string{"model.layers.2.self_attn.q_proj"}, ""},
	{"chosen by a number", llama, each(4, q, k), targets("q_proj", "k_proj") + `, "layers_to_transform": 1`, []string{"model.layers.1.self_attn.q_proj"}, []string{"model.layers.1.self_attn.k_proj"}, ""},
	{"excluded", llama, each(4, q), targets("q_proj") + `, "exclude_modules": ["layers.1.self_attn.q_proj"]`, without(each(4, q), "model.layers.1.self_attn.q_proj"), nil, ""},
	{"excluded by a pattern", llama, each(4, q), targets("q_proj") + `, "exclude_modules": ".*\\.[12]\\..*"`, []string{"model.layers.0.self_attn.q_proj"}, []string{"model.layers.3.self_attn.q_proj"}, ""},
	{"trained whole", llama, each(2, q, up), targets("q_proj", "up_proj") + `, "modules_to_save": ["up_proj"]`, each(2, q), []string{"model.layers.0.mlp.up_proj"}, ""},
	{"expert", moe, each(4, expert), targets("up_proj"), without(each(4, expert), "model.layers.0.mlp.experts.2.up_proj"), []string{"model.layers.0.mlp.experts.2.up_proj"}, ""},
	{"last expert", moe, each(4, expert), targets("up_proj"), each(3, expert), []string{"model.layers.0.mlp.experts.3.up_proj"}, ""},
	{"experts that are no modules", deepseek, append(each(4, q, "model.layers.#.mlp.shared_experts.up_proj", "model.layers.#.mlp.experts.0.up_proj", "model.layers.#.mlp.experts.1.up_proj"), "model.layers.0.mlp.up_proj"), targets("q_proj", "up_proj"), append(each(3, q, "model.layers.#.mlp.shared_experts.up_proj"), "model.layers.0.mlp.up_proj"), nil, ""},
	{"pattern of layers of text", gemma3n, append(each(4, textQ), each(3, visionQ)...), `, "target_modules": "(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|k_proj).*?)|(?:\\bmodel\\.layers\\.[\\d]{1,}\\.(?:self_attn|mlp)\\.(?:(?:q_proj|k_proj)))"`, without(each(4, textQ), "model.language_model.layers.2.self_attn.q_proj"), []string{"model.language_model.layers.2.self_attn.q_proj"}, ""},
	{"names of another release", `{"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "text_config": {"model_type": "llama", "num_hidden_layers": 3}, "vision_config": {"model_type": "clip_vision_model"}}`, each(3, textQ), targets("q_proj"), each(2, "language_model.model.layers.#.self_attn.q_proj"), []string{"language_model.model.layers.2.self_attn.q_proj"}, ""},
	{"kind within blocks", t5, each(2, "decoder.block.#.layer.0.SelfAttention.q", "decoder.block.#.layer.1.EncDecAttention.q"), targets("q"), each(2, "decoder.block.#.layer.0.SelfAttention.q"), each(2, "decoder.block.#.layer.1.EncDecAttention.q"), ""},
	{"decoder of a task", t5, append(each(2, "encoder.block.#.layer.0.SelfAttention.q"), each(2, "decoder.block.#.layer.1.EncDecAttention.q")...), targets("q") + `, "task_type": "SEQ_2_SEQ_LM"`, each(2, "encoder.block.#.layer.0.SelfAttention.q"), each(2, "decoder.block.#.layer.1.EncDecAttention.q"), ""},
	{"language model of a task", gemma3n, append(each(4, textQ), each(3, visionQ)...), targets("q_proj") + `, "task_type": "CAUSAL_LM"`, each(3, visionQ), each(4, textQ), ""},
	{"layers of one kind", jamba, append(each(1, mamba), "model.layers.1.self_attn.q_proj"), targets("q_proj", "in_proj"), each(1, mamba), []string{"model.layers.1.self_attn.q_proj"}, ""},
	{"layers of the other kind", jamba, append(each(1, mamba), "model.layers.1.self_attn.q_proj"), targets("q_proj", "in_proj"), []string{"model.layers.1.self_attn.q_proj"}, []string{"model.layers.0.mamba.in_proj"}, ""},
	{"layers of one kind without a count", `{}`, append(each(1, mamba), "model.layers.1.self_attn.q_proj"), targets("q_proj", "in_proj"), each(1, mamba), nil, ""},
	{"named module outside the layers", gemma3n, append(each(4, textQ, visionQ), "model.connector.proj"), targets("q_proj", "proj"), each(4, textQ, visionQ), nil, "model.connector.proj"},
	{"module of a trained tower", `{}`, append(each(2, "model.visual.blocks.#.attn.proj"), "model.visual.patch.proj"), targets("proj"), each(2, "model.visual.blocks.#.attn.proj"), nil, "model.visual.patch.proj"},
	{"module of another tower", `{}`, append(each(2, "model.layers.#.attn.proj"), "model.visual.patch.proj"), targets("proj"), each(2, "model.layers.#.attn.proj"), nil, ""},
	{"targets by model type", llama, each(4, q), "", each(3, q), nil, ""},
}

func (l layered) write(t *testing.T) (base, adapter string) {
	t.Helper()
	var weights, factors []tensor
	for _, m := range l.base {
		weights = append(weights, ones(m+".weight", 4, 4))
	}
	for _, m := range l.adapter {
		factors = append(factors, ones("base_model.model."+m+".lora_A.weight", 1, 4), ones("base_model.model."+m+".lora_B.weight", 4, 1))
	}
	return made(t, l.config, weights, l.fields, factors)
}

// TestLost leaves modules out of adapters for models of many forms: a loss is refused, and
// what a model never had in memory is not missed.
func TestLost(t *testing.T) {
	for _, l := range layereds {
		t.Run(l.name, func(t *testing.T) {
			base, adapter := l.write(t)
			if l.lost != nil {
				l.checkError(t, openError(t, base, adapter))
				return
			}
			warnings := openPair(t, base, adapter, lazymerge.Options{}).Report().Warnings
			if l.doubt == "" && len(warnings) > 0 || l.doubt != "" && !strings.Contains(fmt.Sprint(warnings), l.doubt) {
				t.Errorf("warnings %q", warnings)
			}
		})
	}
}

func (l layered) checkError(t *testing.T, err error) {
	t.Helper()
	var lost *lazymerge.LostError
	if !errors.As(err, &lost) {
		t.Fatalf("got %v", err)
	}
	var names []string
	for _, m := range lost.Modules {
		names = append(names, m.Module)
		if len(m.Tensors) == 0 || !strings.Contains(m.Tensors[0], m.Module) || !strings.Contains(err.Error(), m.Tensors[0]) {
			t.Errorf("tensors %q of %s in %v", m.Tensors, m.Module, err)
		}
	}
	if !slices.Equal(names, l.lost) {
		t.Errorf("lost %q, want %q", names, l.lost)
	}
}

// TestLostIsNotUnused: --allow-unused is of what is there; --allow-missing of what is not.
func TestLostIsNotUnused(t *testing.T) {
	base, adapter := layereds[1].write(t)
	for _, ref := range []string{adapter, adapter + "+" + adapter} {
		if _, err := tryRef(t, base, ref, lazymerge.Options{AllowUnused: true}); !errors.As(err, new(*lazymerge.LostError)) {
			t.Errorf("%s: %v", ref, err)
		}
		m, err := tryRef(t, base, ref, lazymerge.Options{AllowMissing: true})
		if err != nil {
			t.Fatal(err)
		}
		if w := fmt.Sprint(m.Report().Warnings); !strings.Contains(w, layereds[1].lost[0]) {
			t.Errorf("%s: warnings %q", ref, w)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLostStacks takes a layer's experts from a file that has those of two.
func TestLostStacks(t *testing.T) {
	weights := []tensor{ones("model.embed_tokens.weight", 6, 4)}
	var factors []tensor
	for i := range 2 {
		name := fmt.Sprintf("model.layers.%d.mlp.experts", i)
		weights = append(weights, ones(name+".down_proj", 2, 4, 6))
		factors = append(factors, ones("base_model.model."+name+".lora_A.weight", 2, 6), ones("base_model.model."+name+".lora_B.weight", 4, 2))
	}
	const fields = `, "target_modules": [], "target_parameters": ["mlp.experts.down_proj"], "peft_version": "0.21.2"`
	base, adapter := made(t, `{"num_hidden_layers": 2}`, weights, fields, factors)
	openPair(t, base, adapter, lazymerge.Options{})
	base, adapter = made(t, `{"num_hidden_layers": 2}`, weights, fields, factors[2:])
	layered{lost: []string{"model.layers.0.mlp.experts"}}.checkError(t, openError(t, base, adapter))
}

// TestLostStacksOfExperts takes the stacks of a layer, and all, from a file whose base has
// the experts one by one.
func TestLostStacksOfExperts(t *testing.T) {
	const config = `{"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "num_hidden_layers": 2, "num_experts": 2}`
	const fields = `, "target_modules": ["q_proj"], "target_parameters": ["experts.down_proj"], "peft_version": "0.21.2"`
	var weights, queries, stacks []tensor
	for i := range 2 {
		layer := fmt.Sprintf("model.layers.%d.", i)
		weights = append(weights, ones(layer+"self_attn.q_proj.weight", 4, 4))
		for j := range 2 {
			expert := fmt.Sprintf("%smlp.experts.%d.", layer, j)
			weights = append(weights, ones(expert+"gate_proj.weight", 6, 4), ones(expert+"up_proj.weight", 6, 4), ones(expert+"down_proj.weight", 4, 6))
		}
		queries = append(queries, ones("base_model.model."+layer+"self_attn.q_proj.lora_A.weight", 1, 4), ones("base_model.model."+layer+"self_attn.q_proj.lora_B.weight", 4, 1))
		stacks = append(stacks, ones("base_model.model."+layer+"mlp.experts.lora_A.weight", 2, 6), ones("base_model.model."+layer+"mlp.experts.lora_B.weight", 4, 2))
	}
	base, adapter := made(t, config, weights, fields, append(slices.Clone(queries), stacks...))
	openPair(t, base, adapter, lazymerge.Options{})
	base, adapter = made(t, config, weights, fields, append(slices.Clone(queries), stacks[:2]...))
	layered{lost: []string{"model.layers.1.mlp.experts"}}.checkError(t, openError(t, base, adapter))
	base, adapter = made(t, config, weights, fields, queries)
	layered{lost: []string{"model.layers.0.mlp.experts", "model.layers.1.mlp.experts"}}.checkError(t, openError(t, base, adapter))
}

// TestLayerBelowParameter has a layer in a module of which a parameter has an adapter: PEFT
// puts a wrapper's base_layer into its name.
func TestLayerBelowParameter(t *testing.T) {
	const attn = "model.layers.0.attn"
	weights := []tensor{ones(attn+".table", 6, 4), ones(attn+".k.weight", 4, 4)}
	factors := []tensor{
		ones("base_model.model."+attn+".lora_A.weight", 1, 4), ones("base_model.model."+attn+".lora_B.weight", 6, 1),
		ones("base_model.model."+attn+".base_layer.k.lora_A.weight", 1, 4), ones("base_model.model."+attn+".base_layer.k.lora_B.weight", 4, 1),
	}
	base, adapter := made(t, `{}`, weights, targets("k")+`, "target_parameters": ["attn.table"]`, factors)
	if merged := openPair(t, base, adapter, lazymerge.Options{}).Report().Merged; merged != 2 {
		t.Errorf("%d tensors are merged", merged)
	}
	base, adapter = made(t, `{}`, weights, targets("k"), factors[2:])
	if err := openError(t, base, adapter); !errors.As(err, new(*peft.UnknownTensorsError)) {
		t.Error(err)
	}
}

// TestMisplaced: a parameter of a module that the base has elsewhere is no new head.
func TestMisplaced(t *testing.T) {
	const norm = "model.layers.0.input_layernorm"
	weights := []tensor{ones("model.layers.0.self_attn.q_proj.weight", 4, 4), ones(norm+".weight", 4), ones("lm_head.weight", 6, 4)}
	pair := []tensor{ones("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", 1, 4), ones("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", 4, 1)}
	fields := targets("q_proj") + `, "modules_to_save": ["input_layernorm", "lm_head", "score"]`
	whole := []tensor{ones("base_model.model."+norm+".weight", 4), ones("base_model.model.lm_head.weight", 6, 4), ones("base_model.model.score.weight", 2, 4)}
	base, adapter := made(t, llama, weights, fields, append(slices.Clone(pair), whole...))
	if r := openPair(t, base, adapter, lazymerge.Options{}).Report(); !slices.Equal(r.Added, []string{"score.weight"}) {
		t.Errorf("added %q", r.Added)
	}
	for _, name := range []string{"model.layers.7.input_layernorm.weight", "model.layers.0.mlp.input_layernorm.weight", "model.foo.lm_head.weight"} {
		base, adapter := made(t, llama, weights, fields, append(append(slices.Clone(pair), whole...), ones("base_model.model."+name, 4)))
		if err := openError(t, base, adapter); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(name, ".weight")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNothingFits: an adapter of which nothing fits is refused, with AllowUnused too, and
// so is a base that holds one.
func TestNothingFits(t *testing.T) {
	l := layered{config: llama, base: each(1, q), fields: targets("c_attn"), adapter: []string{"transformer.h.0.attn.c_attn"}}
	base, adapter := l.write(t)
	_, err := tryRef(t, base, adapter, lazymerge.Options{AllowUnused: true})
	if e := (*lazymerge.UnmatchedError)(nil); !errors.As(err, &e) || !e.All {
		t.Errorf("%v", err)
	}
	layer := strings.Replace(q, "#", "0", 1)
	base, _ = made(t, llama, []tensor{ones(layer+".base_layer.weight", 4, 4), ones(layer+".lora_A.default.weight", 1, 4)}, "", nil)
	if _, err := lazymerge.OpenBase(base); !errors.As(err, new(*lazymerge.UnmergedError)) {
		t.Errorf("%v", err)
	}
}

// TestTowers has an adapter of one part of a base that has two with the same names.
func TestTowers(t *testing.T) {
	const config = `{"model_type": "clip", "architectures": ["CLIPModel"], "text_config": {"model_type": "clip_text_model"}, "vision_config": {"model_type": "clip_vision_model"}}`
	const q = "encoder.layers.0.self_attn.q_proj"
	both := []tensor{ones("text_model."+q+".weight", 4, 4), ones("vision_model."+q+".weight", 4, 4)}
	pair := []tensor{ones("base_model.model."+q+".lora_A.weight", 1, 4), ones("base_model.model."+q+".lora_B.weight", 4, 1)}
	class := func(name string) string { return fmt.Sprintf(`, "auto_mapping": {"base_model_class": "%s"}`, name) }
	for fields, want := range map[string]string{
		class("CLIPVisionModel"): "vision_model.", class("CLIPTextModel"): "text_model.",
		`, "task_type": "FEATURE_EXTRACTION"`: "", "": "",
	} {
		base, adapter := made(t, config, both, targets("q_proj")+fields, pair)
		if want == "" {
			if err := openError(t, base, adapter); err == nil || !strings.Contains(err.Error(), "vision_model") || !strings.Contains(err.Error(), "text_model") {
				t.Errorf("%s: %v", fields, err)
			}
			continue
		}
		r := openPair(t, base, adapter, lazymerge.Options{}).Report()
		if len(r.Edits) != 1 || !strings.HasPrefix(r.Edits[0].Tensor, want) {
			t.Errorf("%s: %+v", fields, r.Edits)
		}
	}
	base, adapter := made(t, config, both[1:], targets("q_proj"), pair)
	openPair(t, base, adapter, lazymerge.Options{})
}

// TestRenamedOnDisk: what the disk calls as a target and memory does not is not missed, and
// what memory calls so and the disk does not is.
func TestRenamedOnDisk(t *testing.T) {
	const config = `{"model_type": "granitemoeshared", "architectures": ["GraniteMoeSharedForCausalLM"], "num_hidden_layers": 1}`
	const shared = "model.layers.0.shared_mlp.output_linear"
	pair := []tensor{ones("base_model.model."+shared+".lora_A.weight", 1, 4), ones("base_model.model."+shared+".lora_B.weight", 4, 1)}
	base, adapter := made(t, config, []tensor{ones(shared+".weight", 4, 4), ones("model.layers.0.block_sparse_moe.output_linear.weight", 2, 4, 4)}, targets("output_linear"), pair)
	openPair(t, base, adapter, lazymerge.Options{})

	const vit = `{"model_type": "dinov2", "architectures": ["Dinov2Model"], "num_hidden_layers": 1}`
	const value = "encoder.layer.0.attention.v_proj"
	pair = []tensor{ones("base_model.model."+value+".lora_A.weight", 1, 4), ones("base_model.model."+value+".lora_B.weight", 4, 1)}
	disk := each(1, "encoder.layer.#.attention.attention.query.weight", "encoder.layer.#.attention.attention.value.weight")
	base, adapter = made(t, vit, []tensor{ones(disk[0], 4, 4), ones(disk[1], 4, 4)}, targets("q_proj", "v_proj"), pair)
	layered{lost: []string{"encoder.layer.0.attention.q_proj"}}.checkError(t, openError(t, base, adapter))
}

// TestLostHalfOfTied: a module trained whole has kept its bias alone, or its weight, where
// the base shares the other.
func TestLostHalfOfTied(t *testing.T) {
	weights := []tensor{ones("bert.embeddings.word_embeddings.weight", 6, 4), ones("cls.predictions.bias", 6), ones("bert.encoder.layer.0.attention.self.query.weight", 4, 4)}
	const decoder, query = "base_model.model.cls.predictions.decoder.", "base_model.model.bert.encoder.layer.0.attention.self.query."
	pair := []tensor{ones(query+"lora_A.weight", 1, 4), ones(query+"lora_B.weight", 4, 1)}
	whole := []tensor{ones(decoder+"weight", 6, 4), ones(decoder+"bias", 6)}
	fields := targets("query") + `, "modules_to_save": ["decoder"]`
	base, adapter := made(t, maskedBert, weights, fields, append(slices.Clone(pair), whole...))
	openPair(t, base, adapter, lazymerge.Options{})
	for i, lost := range []string{"weight", "bias"} {
		base, adapter := made(t, maskedBert, weights, fields, append(slices.Clone(pair), whole[1-i]))
		err := openError(t, base, adapter)
		layered{lost: []string{"cls.predictions.decoder"}}.checkError(t, err)
		if !strings.Contains(err.Error(), decoder+lost) {
			t.Errorf("without %s: %v", lost, err)
		}
	}
}

// TestLostPatternsThatDoNotEnd: a pattern that cannot be tried is a warning, in bounded time.
func TestLostPatternsThatDoNotEnd(t *testing.T) {
	l := layered{config: llama, base: each(4, q), fields: `, "target_modules": "(a*)*b|.*q_proj", "exclude_modules": "(?P<x>a)(?P=x"`, adapter: each(4, q)}
	base, adapter := l.write(t)
	if w := fmt.Sprint(openPair(t, base, adapter, lazymerge.Options{}).Report().Warnings); !strings.Contains(w, "cannot be") {
		t.Errorf("warnings %q", w)
	}
}
