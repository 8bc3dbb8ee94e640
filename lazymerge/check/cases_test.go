package check

import (
	"archive/zip"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lorafs/lazymerge/diagnose"
)

// inputs are directories to check and how.
type inputs struct {
	tree  tree
	paths string // with spaces between; below the tree, ids of a cache and stacks as they are
	base  string
	deep  bool
	cache bool // the tree is the hub cache
}

func alone(t tree) inputs    { return inputs{tree: t, paths: "adapter"} }
func withBase(t tree) inputs { return inputs{tree: t, paths: "adapter", base: "base"} }
func baseOnly(t tree) inputs { return inputs{tree: t, paths: "base"} }
func deepBase(t tree) inputs { return inputs{tree: t, paths: "base", deep: true} }
func oneFile(t tree) inputs  { return inputs{tree: t, paths: "one.safetensors"} }
func trained(t tree) inputs  { return inputs{tree: t, paths: "run"} }
func library(t tree) inputs  { return inputs{tree: t, paths: "lib"} }
func fileAt(s string) inputs { return alone(llama.with(file, s)) }
func torchAt(content string) inputs {
	return alone(llama.with(file, "-", "adapter/adapter_model.bin", content))
}

// torchTwin is what torch.save wrote.
var torchTwin = inputs{paths: "../../integration/testdata/torch/adapter"}

func setting(s string) inputs { return alone(llama.with(configFile, s)) }

// golden is a stored case of the integration tests with its base.
func golden(name, base string) inputs {
	const goldens = "../../integration/testdata/goldens/"
	return inputs{paths: goldens + "cases/" + name + "/adapter", base: goldens + "bases/" + base}
}

// two makes a second adapter.
func two(t tree, text, weights string) tree {
	return t.with("other/adapter_config.json", text, "other/adapter_model.safetensors", weights)
}

func stackOf(ref string, t tree) inputs { return inputs{tree: t, paths: ref, base: "base"} }

// change gives the text with a part replaced, which must be there.
func change(text, old, new string) string {
	if !strings.Contains(text, old) {
		panic(text + " lacks " + old)
	}
	return strings.ReplaceAll(text, old, new)
}

var nan = float32(math.NaN())

var zeros = strings.Repeat("\x00", 64)

// cases are inputs whose only finding has the code, and the like without a fault.
var cases = []struct {
	code          string
	fault, health inputs
}{
	{"adapter-is-base", stackOf("adapter+base", llama), stackOf("adapter+other", two(llama, config, factors()))},
	{"adapter-not-found", inputs{tree: tree{"dir/notes.md": "x"}, paths: "dir"}, alone(llama)},
	{"adapter-untrained", fileAt(weights(some(prefix+"0"+queries+"lora_A.weight", 2, 4), filled(prefix+"0"+queries+"lora_B.weight", 0, 4, 2))), fileAt(factors())},
	{"adapter-untrained", setting(change(config, `"lora_alpha":4`, `"lora_alpha":0`)), setting(config)},
	{"alpha-zero", oneFile(sdScripts.with("one.safetensors", weights(kohya("x"), kohyaUp("x"), filled("lora_unet_x.alpha", 0)))), oneFile(sdScripts)},
	{"alpha-absent", oneFile(sdScripts.with("one.safetensors", weights(kohya("x"), kohyaUp("x"), filled("lora_unet_x.alpha", 2), kohya("y"), kohyaUp("y")))), oneFile(sdScripts)},
	{"base-config-broken", baseOnly(llama.with("base/config.json", "{")), baseOnly(llama)},
	{"base-converted-tensor", withBase(stored("qwen3-moe-experts", "qwen3-moe-bf16").with(configFile, change(config, "q_proj", "o_proj"), file, weights(some("base_model.model.model.layers.1.mlp.experts.gate_up_proj", 4, 4), some(prefix+"0.self_attn.o_proj.lora_A.weight", 2, 32), some(prefix+"0.self_attn.o_proj.lora_B.weight", 32, 2)))),
		withBase(stored("qwen3-moe-experts", "qwen3-moe-bf16"))},
	{"base-inconsistent", baseOnly(sharded(`{"model.norm.weight":"model-00002-of-00002.safetensors"}`)), baseOnly(sharded(""))},
	{"base-is-adapter", inputs{tree: two(llama, config, factors()), paths: "adapter", base: "other"}, withBase(llama)},
	{"base-unmerged", baseOnly(llama.with("base/model.safetensors", weights(model(some("base_model.model.x.q.base_layer.weight", 4, 4), some("base_model.model.x.q.lora_A.default.weight", 2, 4))...))), baseOnly(llama)},
	{"base-no-weights", inputs{tree: llama.with("base/model.safetensors", "-"), paths: "adapter", base: "base"}, withBase(llama)},
	{"base-nonfinite", deepBase(llama.with("base/model.safetensors", weights(model(filled("model.extra.weight", nan, 3))...))), deepBase(llama)},
	{"base-one-shard", baseOnly(llama.with("base/model.safetensors", "-", "base/model-00001-of-00002.safetensors", weights(model()...))), baseOnly(llama)},
	{"base-other-format", baseOnly(llama.with("base/model.safetensors", "-", "base/pytorch_model.bin", "x")), baseOnly(llama)},
	{"base-quantized", withBase(llama.with("base/config.json", change(llama["base/config.json"], `{"model_type"`, `{"quantization_config":{"quant_method":"gptq"},"model_type"`), "base/model.safetensors", quantized())), withBase(llama)},
	{"base-several-files", baseOnly(llama.with("base/model.safetensors", "-", "base/a.safetensors", weights(model()...), "base/b.safetensors", weights(model()...))), baseOnly(llama)},
	{"base-weights-below", inputs{tree: llama.with("base/model.safetensors", "-", "base/sub/model.safetensors", weights(model()...)), paths: "adapter", base: "base"}, withBase(llama)},
	{"bias-unmatched", withBase(llama.with(configFile, change(config, `"r":2`, `"r":2,"lora_bias":true`), file, factors(some(prefix+"0"+queries+"lora_B.bias", 4), some(prefix+"1"+queries+"lora_B.bias", 4)))), withBase(llama)},
	{"checkpoint-no-adapter", trained(run.without("run/checkpoint-10").with("run/checkpoint-10/optimizer.pt", "x")), trained(run)},
	{"checkpoint-no-adapter", trained(run.with("run/checkpoint-11/global_step11/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "x")), trained(run)},
	{"component-missing", inputs{tree: pipeline("transformer").with("one.safetensors", withEncoder), paths: "one.safetensors", base: "base/transformer"}, inputs{tree: pipeline("transformer"), paths: "one.safetensors", base: "base/transformer"}},
	{"config-broken", setting("{"), setting(config)},
	{"config-broken", setting(""), setting(config)},
	{"config-broken", setting("[]"), setting(config)},
	{"config-field", setting(change(config, `"r":2`, `"r":"many"`)), setting(change(config, `"r":2`, `"r":2,"use_rslora":true`))},
	{"config-missing", alone(llama.with(configFile, "-")), alone(llama)},
	{"convolution-grouped", oneFile(tree{"one.safetensors": weights(some("transformer.x.lora_A.weight", 4, 4, 3, 3), some("transformer.x.lora_B.weight", 4, 1, 1, 1))}), oneFile(tree{"one.safetensors": weights(some("transformer.x.lora_A.weight", 4, 4, 3, 3), some("transformer.x.lora_B.weight", 4, 4, 1, 1))})},
	{"draw-impossible", golden("tinylora-drawn-unordered", "layers-bf16"), golden("tinylora-gpt2-square", "gpt2-bf16")},
	{"dtype-unsupported", withBase(llama.with(file, integers())), withBase(llama)},
	{"experts-mismatch", golden("mixtral-refuse-v4-too-many-experts", "mixtral-bf16"), golden("mixtral-experts", "mixtral-bf16")},
	{"experts-order", withBase(unsloth(stored("mixtral-experts", "mixtral-bf16"))), withBase(stored("mixtral-experts", "mixtral-bf16"))},
	{"experts-orientation", withBase(unversioned(stored("mixtral-square-alone", "mixtral-square-bf16"))), withBase(stored("mixtral-square-alone", "mixtral-square-bf16"))},
	{"file-kind", alone(llama.with(file, "-", file+"/x", "")), alone(llama)},
	{"file-missing", alone(llama.with(file, linkMark+"nothing.safetensors")), alone(llama.with(file, linkMark+"true.safetensors", "adapter/true.safetensors", factors()))},
	{"format-unsupported", torchAt(torchZip(zip.Store, "\x80\x02}.", "archive/constants.pkl", "")), torchTwin},
	{"index-broken", baseOnly(sharded("").with("base/model.safetensors.index.json", "<html>")), baseOnly(sharded(""))},
	{"index-leaves", baseOnly(sharded("").with("base/model.safetensors.index.json", `{"weight_map":{"a":"../x.safetensors"}}`)), baseOnly(sharded(""))},
	{"init-changes-base", setting(change(config, `"r":2`, `"r":2,"init_lora_weights":"pissa_niter_4"`)), setting(change(config, `"r":2`, `"r":2,"init_lora_weights":"gaussian"`))},
	{"layer-unsupported", withBase(osf("conv1d", 10, 6)), withBase(osf("plain", 24, 20))},
	{"layers-replicated-wrongly", withBase(llama.with(configFile, change(config, `"r":2`, `"r":2,"layer_replication":[[0,9]]`))), withBase(llama.with(configFile, change(config, `"r":2`, `"r":2,"layer_replication":[[0,2]]`)))},
	{"limit", baseOnly(llama.with("base/"+strings.Repeat("d/", 20)+"x", "")), baseOnly(llama.with("base/d/d/x", ""))},
	{"link-leaves", alone(llama.with(file, linkMark+"/dev/null")), alone(llama)},
	{"magnitude-absent", oneFile(sdScripts.with("one.safetensors", dora("x"))), oneFile(sdScripts.with("one.safetensors", dora("x", "y")))},
	{"metadata-field", oneFile(sdScripts.with("one.safetensors", described(`[]`))), oneFile(sdScripts.with("one.safetensors", described(`{"unet.r":2,"unet.lora_alpha":2}`)))},
	{"modules-lost", withBase(llama.with("base/config.json", change(llama["base/config.json"], `"num_hidden_layers":2,`, ``), file, weights(pair(prefix+"0"+queries)...))), withBase(llama)},
	{"modules-untrained", fileAt(weights(append(pair(prefix+"0"+queries), some(prefix+"1"+queries+"lora_A.weight", 2, 4), filled(prefix+"1"+queries+"lora_B.weight", 0, 4, 2))...)), fileAt(factors())},
	{"modules-untrained", alone(llama.with(configFile, savedConfig, file, weights(some(prefix+"0"+queries+"lora_A.weight", 2, 4), filled(prefix+"0"+queries+"lora_B.weight", 0, 4, 2), some("base_model.model.model.norm.weight", 4)))), alone(saved(0.5))},
	{"name-invalid", library(tree{}.with("lib/a.INVALID/adapter_config.json", config, "lib/a.INVALID/adapter_model.safetensors", factors())), library(tree{}.with("lib/a/adapter_config.json", config, "lib/a/adapter_model.safetensors", factors()))},
	{"names-foreign", fileAt(edited(func(s string) string { return "_orig_mod." + s })), fileAt(factors())},
	{"names-foreign", fileAt(edited(func(s string) string { return strings.TrimPrefix(s, "base_model.model.") })), fileAt(factors())},
	{"names-with-adapter", fileAt(edited(func(s string) string { return strings.Replace(s, ".weight", ".default.weight", 1) })), fileAt(factors())},
	{"not-found", inputs{paths: "no/such"}, alone(llama)},
	{"not-found", inputs{tree: llama, paths: "adapter", base: "no/such"}, withBase(llama)},
	{"overflow", golden("refuse-overflow", "llama-f16"), golden("kinds-f16", "layers-f16")},
	{"parameters-unlisted", fileAt(factors(some("base_model.model.model.norm.weight", 4))), alone(llama.with(file, factors(some("base_model.model.model.norm.weight", 4)), configFile, change(config, `"r":2`, `"r":2,"modules_to_save":["norm"]`)))},
	{"part-unnamed", inputs{tree: pipeline("transformer", "transformer_2"), paths: "one.safetensors", base: "base"}, inputs{tree: pipeline("transformer"), paths: "one.safetensors", base: "base"}},
	{"pipeline-ambiguous", withBase(pipeline("transformer", "text_encoder")), withBase(pipeline("transformer"))},
	{"pipeline-ambiguous", withBase(pipeline("transformer", "text_encoder")), withBase(pipeline("transformer", "text_encoder").with("base/text_encoder/diffusion_pytorch_model.safetensors", weights(some("blocks.0.to_q.weight", 8, 8))))},
	{"rank-mismatch", setting(change(config, `"r":2`, `"r":4`)), setting(config)},
	{"rank-mismatch", fileAt(weights(some(prefix+"0"+queries+"lora_A.weight", 4, 4), some(prefix+"0"+queries+"lora_B.weight", 4, 4))), fileAt(factors())},
	{"revision-missing", inputs{tree: cached(), paths: "org/m@v2", cache: true}, inputs{tree: cached(), paths: "org/m", cache: true}},
	{"row-out-of-range", withBase(tokens(9)), withBase(tokens(7))},
	{"saved-module-absent", withBase(llama.with(configFile, change(config, `"r":2`, `"r":2,"modules_to_save":["quux"]`))), withBase(llama)},
	{"scale-unknown", oneFile(tree{"one.safetensors": factors()}), oneFile(sdScripts)},
	{"shape-mismatch", withBase(llama.with("base/model.safetensors", larger())), withBase(llama)},
	{"shards-missing", baseOnly(sharded("").with("base/model-00002-of-00002.safetensors", "-")), baseOnly(sharded(""))},
	{"stack-conflict", stackOf("adapter+other", two(saved(0.5), savedConfig, savedNorm(0.25))), stackOf("adapter+other", two(saved(0.5), savedConfig, savedNorm(0.5)))},
	{"stack-invalid", stackOf("adapter@x+other", two(llama, config, factors())), stackOf("adapter@0.5+other", two(llama, config, factors()))},
	{"stack-replaced", stackOf("adapter+other", two(llama, change(config, `"r":2`, `"r":2,"modules_to_save":["layers.1.self_attn.q_proj"]`), weights(append(pair(prefix+"0"+queries), filled(prefix+"1"+queries+"weight", 3, 4, 4))...))), stackOf("adapter+other", two(llama, config, factors()))},
	{"stack-tokenizers", stackOf("adapter+other", two(llama, config, factors()).with("adapter/tokenizer.json", "{}", "other/tokenizer.json", `{"a":1}`)), stackOf("adapter+other", two(llama, config, factors()).with("adapter/tokenizer.json", "{}", "other/tokenizer.json", "{}"))},
	{"stack-weight", stackOf("adapter@0.5+other", two(saved(0.5), config, factors())), stackOf("adapter+other", two(saved(0.5), config, factors()))},
	{"targets-missed", setting(change(config, "q_proj", "v_proj")), setting(config)},
	{"targets-unreadable", setting(change(config, `["q_proj"]`, `".*q_proj++"`)), setting(change(config, `["q_proj"]`, `".*q_proj"`))},
	{"tensor-ambiguous", withBase(wrapped("model.", "base_model.")), withBase(wrapped("model."))},
	{"tensor-collision", withBase(llama.with(file, factors(pair("base_model.model.layers.0"+queries)...))), withBase(llama)},
	{"tensor-counterpart-missing", fileAt(weights(append(pair(prefix+"0"+queries), some(prefix+"1"+queries+"lora_A.weight", 2, 4))...)), fileAt(factors())},
	{"tensor-duplicate", fileAt(factors(filled("model.layers.0"+queries+"lora_A.weight", 9, 2, 4))), fileAt(factors())},
	{"tensor-like-missing", oneFile(tree{"one.safetensors": weights(kohya("b_0"), kohyaUp("b_0"), filled("lora_unet_b_0.alpha", 2), kohya("b_1"), kohyaUp("b_1"))}), oneFile(sdScripts)},
	{"tensor-lost", withBase(llama.with(file, weights(pair(prefix+"0"+queries)...))), withBase(llama)},
	{"tensor-nonfinite", fileAt(weights(some(prefix+"0"+queries+"lora_A.weight", 2, 4), filled(prefix+"0"+queries+"lora_B.weight", nan, 4, 2))), fileAt(factors())},
	{"tensor-unknown", fileAt(factors(some(prefix+"0"+queries+"lora_Q.weight", 4))), fileAt(factors())},
	{"tensor-unmatched", withBase(llama.with("base/model.safetensors", weights(some("gpt.h.0.attn.weight", 4, 4)))), withBase(llama)},
	{"tensor-value", oneFile(sdScripts.with("one.safetensors", weights(kohya("x"), kohyaUp("x"), some("lora_unet_x.alpha", 2)))), oneFile(sdScripts)},
	{"tensors-contradict", fileAt(weights(some(prefix+"0"+queries+"lora_A.weight", 2, 4), some(prefix+"0"+queries+"lora_B.weight", 4, 3))), fileAt(factors())},
	{"tensors-contradict", oneFile(sdScripts.with("one.safetensors", weights(kohya("x"), some("lora_unet_x.lora_up.weight", 4, 3), filled("lora_unet_x.alpha", 2)))), oneFile(sdScripts)},
	{"tensors-contradict", withBase(llama.with(configFile, change(config, `"r":2`, `"r":4`), file, weights(some(prefix+"0"+queries+"lora_A.weight", 4, 2), some(prefix+"0"+queries+"lora_B.weight", 2, 4)))), withBase(llama)},
	{"tie-kept", withBase(stored("", "t5-bf16").with(configFile, change(config, "q_proj", "lm_head"), file, weights(some("base_model.model.lm_head.lora_A.weight", 2, 32), some("base_model.model.lm_head.lora_B.weight", 96, 2)))),
		withBase(stored("t5", "t5-bf16"))},
	{"training-zero3-ungathered", inputs{tree: tree{"ds_config.json": ungathered}, paths: "ds_config.json"}, inputs{tree: tree{"ds_config.json": gathered}, paths: "ds_config.json"}},
	{"training-zero3-ungathered", trained(run.with("run/ds_config.json", ungathered)), trained(run.with("run/ds_config.json", gathered))},
	{"training-settings-unreadable", inputs{tree: tree{"ds_config.json": gathered[:30]}, paths: "ds_config.json"}, inputs{tree: tree{"ds_config.json": gathered, "requirements.txt": "peft==0.21.2"}, paths: "ds_config.json requirements.txt ."}},
	{"training-settings-unreadable", trained(run.with("run/axolotl.yml", "deepspeed: deepspeed_configs/zero3_bf16.json\n")),
		trained(run.with("run/axolotl.yml", "deepspeed: deepspeed_configs/zero3_bf16.json\n", "run/deepspeed_configs/zero3_bf16.json", gathered))},
	{"type-never", setting(`{"peft_type":"PROMPT_TUNING"}`), setting(config)},
	{"type-unsupported", setting(`{"peft_type":"QUUX"}`), setting(config)},
	{"vocabulary-part", withBase(llama.with(file, factors(some("base_model.model.model.embed_tokens.weight", 9, 4)))), withBase(llama.with(file, factors(some("base_model.model.model.embed_tokens.weight", 9, 4), some("base_model.model.lm_head.weight", 9, 4))))},
	{"weights-bad-tensor", fileAt(raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "1234")), fileAt(factors())},
	{"weights-duplicate-name", fileAt(raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "12")), fileAt(factors())},
	{"weights-empty", fileAt(raw(`{"__metadata__":{"format":"pt"}}`, "")), fileAt(factors())},
	{"weights-error-page", fileAt("<!DOCTYPE html><html><head><title>401</title></head></html>"), fileAt(factors())},
	{"weights-error-page", fileAt(`{"error":"Repository not found"}`), fileAt(factors())},
	{"weights-flat", fileAt(weights(some(prefix+"0"+queries+"lora_A.weight", 8), some(prefix+"0"+queries+"lora_B.weight", 8))), fileAt(factors())},
	{"weights-header-broken", fileAt(raw(`{"a":{"dtype":"X9","shape":[],"data_offsets":[0,0]}}`, "")), fileAt(factors())},
	{"weights-header-not-utf8", fileAt(raw("{\"\xff\xff\":1}", "")), fileAt(factors())},
	{"weights-header-past-end", fileAt(factors()[:100]), fileAt(factors())},
	{"weights-header-too-large", fileAt("\x00\x00\x00\x00\x00\x00\x00\x7f{}"), fileAt(factors())},
	{"weights-holes", fileAt(raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "12")), fileAt(factors())},
	{"weights-lfs-pointer", fileAt("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n"), fileAt(factors())},
	{"weights-missing", alone(llama.with(file, "-")), alone(llama)},
	{"weights-old-empty", fileAt(raw(`{},"__metadata__":{"format":"pt"}}      `, "")), fileAt(factors())},
	{"weights-other-format", fileAt("GGUF" + zeros), fileAt(factors())},
	{"weights-overlap", fileAt(raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, "123")), fileAt(factors())},
	{"weights-pickle", fileAt("PK\x03\x04" + strings.Repeat("x", 2000)), fileAt(factors())},
	{"weights-placeholders", fileAt(weights(some(prefix+"0"+queries+"lora_A.weight", 0), some(prefix+"0"+queries+"lora_B.weight", 0))), fileAt(factors())},
	{"weights-several-adapters", fileAt(weights(append(renamed(pair(prefix+"0"+queries), ".weight", ".one.weight"), renamed(pair(prefix+"0"+queries), ".weight", ".two.weight")...)...)), fileAt(factors())},
	{"weights-too-short", fileAt("\x20\x00\x00"), fileAt(factors())},
	{"weights-truncated", torchAt("PK\x03\x04" + strings.Repeat("x", 2000)), torchTwin},
	{"weights-torch-broken", torchAt("\x80\x02}q\x00."), torchTwin},
	{"weights-torch-damaged", torchAt(strings.Replace(torchOf(factorTensors()...), "K\x08tQ", "K\x09tQ", 1)), torchTwin},
	{"weights-torch-empty", torchAt(torchOf()), torchTwin},
	{"weights-torch-objects", torchAt(torchZip(zip.Store, "\x80\x02}X\x01\x00\x00\x00aK\x01s.")), torchTwin},
	{"weights-torch-packed", torchAt(torchZip(zip.Deflate, "\x80\x02}.")), torchTwin},
	{"weights-torch-refused", torchAt(torchZip(zip.Store, "\x80\x02h\x09.")), torchTwin},
	{"weights-trailing", fileAt(factors() + "more"), fileAt(factors())},
	{"weights-truncated", fileAt(factors()[:len(factors())-3]), fileAt(factors())},
	{"weights-whole-model", fileAt(weights(model()...)), fileAt(factors())},
	{"weights-whole-model", fileAt(weights(some(prefix+"0"+queries+"base_layer.weight", 4, 4), some("base_model.model.lm_head.weight", 8, 4))), fileAt(factors())},
	{"weights-whole-model", alone(llama.with(file, "-", "adapter/model.safetensors", weights(model()...))), alone(llama)},
	{"weights-zero-bytes", fileAt(""), fileAt(factors())},
	{"weights-zero-filled", fileAt(strings.Repeat("\x00", 500)), fileAt(factors())},
}

// commandCases are the codes that no check of a path can bring about: of recover, of what
// is written, of several ADAPTER arguments, of a machine in a certain state. This script of
// the commands has a case of each.
func commandCases(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../cmd/lorafs/testdata/script/codes.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, m := range regexp.MustCompile(`(?m)^finds (\S+) `).FindAllStringSubmatch(string(text), -1) {
		codes = append(codes, m[1])
	}
	return codes
}

// momentary are codes that no files bring about, only what happens meanwhile; the tests of
// diagnose have them.
var momentary = map[string]string{
	"error":         "errors that nobody knows",
	"input-changed": "inputs that change while they are read",
	"interrupted":   "signals",
	"write-refused": "names that no reader lets through",
}

func TestCases(t *testing.T) {
	seen := make(map[string]bool)
	for _, code := range commandCases(t) {
		seen[code] = true
	}
	for _, c := range cases {
		seen[c.code] = true
		t.Run(c.code, func(t *testing.T) {
			if found := c.fault.check(t); len(found) != 1 || found[0].Code != c.code {
				t.Errorf("the fault gives %s", codesOf(found))
			}
		})
		t.Run(c.code+" healthy", func(t *testing.T) {
			if found := c.health.check(t); len(found) > 0 {
				t.Errorf("%s", codesOf(found))
			}
		})
	}
	for _, code := range diagnose.Codes() {
		if strings.HasPrefix(code, "training-") {
			continue // diagnose has them all
		}
		if _, known := momentary[code]; known == seen[code] {
			t.Errorf("%s: has a case: %v, listed as having none: %v", code, seen[code], known)
		}
	}
}

// check gives all findings.
func (in inputs) check(t *testing.T) []diagnose.Finding {
	t.Helper()
	dir := t.TempDir()
	in.tree.write(t, dir)
	t.Setenv("HF_HUB_CACHE", filepath.Join(dir, "no-cache"))
	if in.cache {
		t.Setenv("HF_HUB_CACHE", dir)
	}
	if in.tree != nil && !in.cache {
		t.Chdir(dir)
	}
	before := listing(t, dir)
	r, err := Run(context.Background(), strings.Fields(in.paths), Options{Base: in.base, Deep: in.deep, Merge: buffers(t)})
	if err != nil {
		t.Fatal(err)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("the inputs changed from\n%s\nto\n%s", before, after)
	}
	var found []diagnose.Finding
	for _, one := range r.Results {
		if one.Verdict != diagnose.Judge(one.Findings) || one.Path == "" || one.Kind == "" {
			t.Errorf("%+v", one)
		}
		found = append(found, one.Findings...)
	}
	return found
}

// listing describes all files of a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, p, info.Mode(), info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func codesOf(found []diagnose.Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s (%s) ", f.Code, f.Message)
	}
	return b.String()
}

// sharded is a base of two shards; more are entries of the index, with braces.
func sharded(more string) tree {
	index := `{"weight_map":{"model.embed_tokens.weight":"model-00001-of-00002.safetensors"`
	rest := model()[1:]
	for _, x := range rest {
		file := "model-00002-of-00002.safetensors"
		if strings.Contains(more, x.name) {
			file = "model-00001-of-00002.safetensors" // which does not hold it
		}
		index += `,"` + x.name + `":"` + file + `"`
	}
	return llama.with("base/model.safetensors", "-", "base/model.safetensors.index.json", index+"}}",
		"base/model-00001-of-00002.safetensors", weights(model()[0]), "base/model-00002-of-00002.safetensors", weights(rest...))
}

// quantized is a base whose queries are packed.
func quantized() string {
	return raw(`{"model.layers.0.self_attn.q_proj.weight":{"dtype":"I32","shape":[4,4],"data_offsets":[0,64]},`+
		`"model.layers.1.self_attn.q_proj.weight":{"dtype":"I32","shape":[4,4],"data_offsets":[64,128]}}`, zeros+zeros)
}

// integers is an adapter of one module with whole numbers.
func integers() string {
	name := prefix + "0" + queries
	return raw(`{"`+name+`lora_A.weight":{"dtype":"I8","shape":[2,4],"data_offsets":[0,8]},"`+name+`lora_B.weight":{"dtype":"I8","shape":[4,2],"data_offsets":[8,16]}}`, strings.Repeat("\x01", 16))
}

// dora is the sdScripts file with a magnitude for some modules.
func dora(modules ...string) string {
	all := []tensor{kohya("x"), kohyaUp("x"), filled("lora_unet_x.alpha", 2), kohya("y"), kohyaUp("y"), filled("lora_unet_y.alpha", 2)}
	for _, m := range modules {
		all = append(all, some("lora_unet_"+m+".dora_scale", 4, 1))
	}
	return weights(all...)
}

// described is an adapter of diffusers with settings.
func described(settings string) string {
	return weightsOf(map[string]string{"lora_adapter_metadata": settings}, some("unet.x.lora_A.weight", 2, 4), some("unet.x.lora_B.weight", 4, 2))
}

// cached is a hub cache with one adapter.
func cached() tree {
	const repo = "models--org--m/"
	return tree{
		repo + "refs/main":                                "cafe",
		repo + "blobs/config":                             config,
		repo + "snapshots/cafe/adapter_config.json":       linkMark + "../../blobs/config",
		repo + "blobs/weights":                            factors(),
		repo + "snapshots/cafe/adapter_model.safetensors": linkMark + "../../blobs/weights",
	}
}

// tokens is an adapter that trained the embedding of one token.
func tokens(index int) tree {
	return llama.with(configFile, fmt.Sprintf(`{"peft_type":"TRAINABLE_TOKENS","target_modules":["embed_tokens"],"token_indices":[%d]}`, index),
		file, weights(some("base_model.model.model.embed_tokens.trainable_tokens_delta", 1, 4)))
}

// larger is a base with wider layers.
func larger() string {
	var all []tensor
	for _, x := range model() {
		for i, d := range x.shape {
			x.shape[i] = 2 * d
		}
		all = append(all, x)
	}
	return weights(all...)
}

var savedConfig = change(config, `"r":2`, `"r":2,"modules_to_save":["norm"]`)

// savedNorm is an adapter that trained a norm whole.
func savedNorm(v float32) string {
	return factors(filled("base_model.model.model.norm.weight", v, 4))
}

func saved(v float32) tree { return llama.with(configFile, savedConfig, file, savedNorm(v)) }

func renamed(tensors []tensor, old, new string) []tensor {
	for i := range tensors {
		tensors[i].name = change(tensors[i].name, old, new)
	}
	return tensors
}

// stored is a case of the integration tests as a tree; "" for the adapter leaves it out.
func stored(name, base string) tree {
	const goldens = "../../integration/testdata/goldens/"
	all := make(tree)
	read := func(from, to string) {
		entries, err := os.ReadDir(goldens + from)
		if err != nil {
			panic(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(goldens, from, e.Name()))
			if err != nil {
				panic(err)
			}
			all[to+"/"+e.Name()] = string(b)
		}
	}
	read("bases/"+base, "base")
	if name != "" {
		read("cases/"+name+"/adapter", "adapter")
	}
	return all
}

// unsloth makes an adapter of stacked experts look like one of unsloth's.
func unsloth(t tree) tree {
	return t.with(configFile, change(t[configFile], "tiny/", "unsloth/"))
}

// unversioned takes the release of PEFT out of an adapter's config.
func unversioned(t tree) tree {
	return t.with(configFile, change(t[configFile], `"peft_version": "0.21.2",`, ""))
}

// pipeline is one of diffusers whose parts have the same module, and adapters for it.
func pipeline(parts ...string) tree {
	t := tree{configFile: change(config, "q_proj", "to_q"), file: weights(some("base_model.model.blocks.0.to_q.lora_A.weight", 2, 4), some("base_model.model.blocks.0.to_q.lora_B.weight", 4, 2)),
		"one.safetensors": weights(some("transformer.blocks.0.to_q.lora_A.weight", 2, 4), some("transformer.blocks.0.to_q.lora_B.weight", 4, 2))}
	index := `{"_class_name":"X"`
	for _, p := range parts {
		index += `,"` + p + `":["diffusers","X"]`
		t["base/"+p+"/config.json"] = "{}"
		t["base/"+p+"/diffusion_pytorch_model.safetensors"] = weights(some("blocks.0.to_q.weight", 4, 4))
	}
	t["base/model_index.json"] = index + "}"
	return t
}

// withEncoder is an adapter of a transformer and of a text encoder.
var withEncoder = weights(some("transformer.blocks.0.to_q.lora_A.weight", 2, 4), some("transformer.blocks.0.to_q.lora_B.weight", 4, 2),
	some("text_encoder.layers.0.q_proj.lora_A.weight", 2, 4), some("text_encoder.layers.0.q_proj.lora_B.weight", 4, 2))

// osf is an adapter of a type that is for linear layers alone.
func osf(module string, out, in int64) tree {
	name := "base_model.model." + module + ".osf_svd_params."
	return stored("", "layers-bf16").with(configFile, fmt.Sprintf(`{"peft_type":"OSF","effective_rank":%d,"target_modules":[%q]}`, min(out, in)-2, module),
		file, weights(some(name+"S_low", 2), some(name+"U_low", out, 2), some(name+"V_low", 2, in)))
}

// wrapped is a base whose module stands under some prefixes, and an adapter of it.
func wrapped(prefixes ...string) tree {
	var all []tensor
	for _, p := range prefixes {
		all = append(all, some(p+"h.0.attn.weight", 4, 4))
	}
	return tree{"base/config.json": "{}", "base/model.safetensors": weights(all...), configFile: change(config, "q_proj", "attn"), file: weights(pair("base_model.model.h.0.attn.")...)}
}

// Settings of DeepSpeed.
const (
	ungathered = `{"zero_optimization": {"stage": 3}}`
	gathered   = `{"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": true}}`
)
