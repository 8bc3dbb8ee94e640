package peft

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lorafs/lazymerge/transform"
)

func as[E error](err error, target *E) bool { return errors.As(err, target) }

func readText(text string) (*Config, error) {
	obj, err := parseConfigText([]byte(text))
	if err != nil {
		return nil, err
	}
	return newConfig("adapter_config.json", obj)
}

func TestDefaults(t *testing.T) {
	c, err := readText(`{"peft_type": "LORA"}`)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := c.own.(*loraSettings)
	if !ok || s.Rank.Value != 8 || s.Alpha.Value != 8 || c.Bias != "none" {
		t.Errorf("got %+v with %+v", c, s)
	}
	if s.RSLoRA || s.DoRA || s.LoRABias || s.MiCA {
		t.Errorf("got %+v", s)
	}
}

func TestConfigValues(t *testing.T) {
	c, err := readText("\xef\xbb\xbf" + `{
		"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4.0, "lora_alpha": 6.5, "use_rslora": true, "bias": "all",
		"rank_pattern": {"z": 2, "a": 3}, "alpha_pattern": {"b": 1, "a": 2.5}, "target_modules": ["q", "v"],
		"modules_to_save": ["score"], "trainable_token_indices": {"embed_tokens": [7, 1]}, "layer_replication": [[0, 2], [1, 3]],
		"ensure_weight_tying": true, "init_lora_weights": "mica", "auto_mapping": {"base_model_class": "X", "parent_library": "y"},
		"base_model_name_or_path": "org/base", "revision": "main", "peft_version": "0.21.2",
		"future": null, "other": false, "none": [], "nothing": {}, "runtime_config": {"ephemeral_gpu_offload": true}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Path: "adapter_config.json", PeftType: "LORA", TaskType: "CAUSAL_LM", Base: "org/base", Revision: "main", AutoClass: "X", Version: "0.21.2",
		Bias: "all", TieWeights: true, TargetModules: []string{"q", "v"}, ModulesToSave: []string{"score"},
		TokenIndices: []TokenIndices{{"embed_tokens", []int64{7, 1}}},
		Replication:  [][2]int{{0, 2}, {1, 3}},
		Rank:         4, RSLoRA: true,
	}
	s, _ := c.own.(*loraSettings)
	if s == nil || !s.RSLoRA || !s.MiCA || s.Rank.Value != 4 || s.Alpha.Value != 6.5 {
		t.Fatalf("settings %+v", s)
	}
	for i, x := range []modulePattern[int64]{{Pattern: "z", Value: 2}, {Pattern: "a", Value: 3}} {
		if got := s.Rank.Patterns[i]; got.Pattern != x.Pattern || got.Value != x.Value {
			t.Errorf("rank pattern %+v", got)
		}
	}
	for i, x := range []modulePattern[float64]{{Pattern: "b", Value: 1}, {Pattern: "a", Value: 2.5}} {
		if got := s.Alpha.Patterns[i]; got.Pattern != x.Pattern || got.Value != x.Value {
			t.Errorf("alpha pattern %+v", got)
		}
	}
	c.own, c.targets = nil, nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestWeightTying has the names for which PEFT 0.21.2 ties what an adapter changes.
func TestWeightTying(t *testing.T) {
	for settings, want := range map[string][2]bool{ // of targets, of saved modules
		`"target_modules": ["q", "model.embed_tokens"]`:                               {true, false},
		`"target_modules": ["lm_head"]`:                                               {true, false},
		`"target_modules": ["wte"]`:                                                   {},
		`"target_modules": ["word_embeddings"], "modules_to_save": ["wte"]`:           {},
		`"target_modules": ".*embed_tokens"`:                                          {true, false},
		`"target_modules": "model\\.embed_tokens|.*q_proj"`:                           {},
		`"target_modules": ["q"], "modules_to_save": ["lm_head"]`:                     {false, true},
		`"target_modules": ["embed_tokens"], "modules_to_save": ["x.embed_tokens"]`:   {false, true},
		`"target_modules": ["embed_tokens"], "modules_to_save": ["embed_tokens.sub"]`: {true, false},
	} {
		for tying, tie := range map[string]bool{"true": true, "false": false} {
			c, err := readText(`{"peft_type": "LORA", "ensure_weight_tying": ` + tying + `, ` + settings + `}`)
			if err != nil {
				t.Fatal(err)
			}
			if got := [2]bool{c.tiesTargets(), c.tiesSaved()}; got != [2]bool{tie && want[0], tie && want[1]} {
				t.Errorf("%s, %s: %v, want %v", tying, settings, got, want)
			}
		}
	}
}

func TestBrokenConfigs(t *testing.T) {
	for _, x := range []struct{ text, want string }{
		{"", "the file is empty"},
		{" \n", "the file is empty"},
		{"[]", "not a JSON object"},
		{"null", "not a JSON object"},
		{`{"peft_type": "LORA"`, "the text ends early"},
		{`{"peft_type": "LO`, "the text ends early"},
		{`{"peft_type": "LORA"} x`, "not valid JSON"},
		{`{"peft_type": "LORA", "lora_dropout": NaN}`, "NaN is not a JSON number"},
		{`{"lora_alpha": Infinity}`, "Infinity is not a JSON number"},
		{`{"eva_config": {"tau": -Infinity}}`, "-Infinity is not a JSON number"},
		{`{"r": 8, "r": 9}`, `key "r" occurs twice`},
		{`{"peft_type": "LORA",}`, "not valid JSON"},
		{"{\"peft_type\": \"\xff\"}", "not UTF-8 text"},
		{`{"r": 8}`, "peft_type is missing"},
		{`{"peft_type": null}`, "peft_type is missing"},
		{"version https://git-lfs.github.com/spec/v1\n", "not valid JSON"},
		{`{"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "exceeded max depth"},
		{strings.Repeat(" ", maxConfig+1), "larger than"},
	} {
		_, err := readText(x.text)
		c := (*ConfigError)(nil)
		if !as(err, &c) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%.60q: %v, want %s", x.text, err, x.want)
		}
	}
}

func TestWrongValues(t *testing.T) {
	for _, x := range []struct{ field, value string }{
		{"r", `0`}, {"r", `-1`}, {"r", `2.5`}, {"r", `null`}, {"r", `"8"`}, {"r", `true`}, {"r", `1e400`},
		{"lora_alpha", `null`}, {"lora_alpha", `"16"`}, {"lora_alpha", `true`}, {"lora_alpha", `1e999`},
		{"rank_pattern", `{"q": 0}`}, {"rank_pattern", `{"q": null}`}, {"rank_pattern", `["q"]`}, {"rank_pattern", `{"q": 1, "q": 2}`},
		{"alpha_pattern", `{"q": "x"}`}, {"alpha_pattern", `{"q": [1]}`},
		{"use_rslora", `"false"`}, {"use_rslora", `1`}, {"use_dora", `"yes"`}, {"lora_bias", `[]`}, {"ensure_weight_tying", `0`},
		{"bias", `"some"`}, {"bias", `true`},
		{"init_lora_weights", `3`}, {"init_lora_weights", `"whatever"`},
		{"target_modules", `3`}, {"target_modules", `[1]`}, {"target_modules", `["q", null]`}, {"target_modules", `{"q": 1}`},
		{"modules_to_save", `"score"`}, {"modules_to_save", `[null]`},
		{"trainable_token_indices", `[-1]`}, {"trainable_token_indices", `[1.5]`}, {"trainable_token_indices", `3`},
		{"trainable_token_indices", `{"e": 3}`}, {"trainable_token_indices", `{"e": [1], "e": [2]}`}, {"trainable_token_indices", `[null]`},
		{"layer_replication", `[[0, 2, 3]]`}, {"layer_replication", `[[2, 2]]`}, {"layer_replication", `[[-1, 2]]`}, {"layer_replication", `3`},
		{"layer_replication", `[[0, 1e18]]`},
		{"enable_lora", `[true, false]`}, {"new_mode", `"fast"`}, {"new_mode", `{"a": 1}`}, {"new_mode", `0.5`}, {"new_mode", `true`},
		{"init_lora_weights", `"PiSSA"`}, {"kasa_config", `{"delta": 1}`}, {"kasa_config", `{}, "use_dora": true`},
		{"kasa_config", `{}, "init_lora_weights": "pissa"`},
	} {
		_, err := readText(`{"peft_type": "LORA", "` + x.field + `": ` + x.value + `}`)
		f := (*FieldError)(nil)
		if !as(err, &f) || f.Field != x.field || f.Reason == "" {
			t.Errorf("%s = %s: %v", x.field, x.value, err)
		}
	}
}

func TestInitialisations(t *testing.T) {
	for _, ok := range []string{`true`, `false`, `null`, `"gaussian"`, `"Gaussian"`, `"eva"`, `"orthogonal"`, `"mica"`, `"pissa"`, `"olora"`, `"OLoRA"`} {
		if _, err := readText(`{"peft_type": "LORA", "init_lora_weights": ` + ok + `}`); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, name := range []string{"pissa_niter_4", "corda", "loftq", "lora_ga"} {
		_, err := readText(`{"peft_type": "LORA", "init_lora_weights": "` + name + `"}`)
		if u := (*UnsupportedError)(nil); !as(err, &u) || u.Field != "init_lora_weights" || u.Value != name || !u.Never {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadConfigNamesItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), configName)
	if _, err := ReadConfig(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadConfig(path)
	if c := (*ConfigError)(nil); !as(err, &c) || c.Path != path {
		t.Errorf("broken: %v", err)
	}
}

// TestChangedOnce: PEFT takes a decomposition off a layer's weight unless the file has the
// weight itself, changed already, and off no embedding.
func TestChangedOnce(t *testing.T) {
	for _, init := range []string{"pissa", "olora"} {
		r := mustOpen(t, adapter(t, `"init_lora_weights": "`+init+`", "target_modules": ["q_proj", "lm_head", "embed_tokens"]`,
			it("base_model.model.model.q_proj.lora_A.weight", 2, 6), it("base_model.model.model.q_proj.lora_B.weight", 4, 2),
			it("base_model.model.lm_head.lora_A.weight", 2, 6), it("base_model.model.lm_head.lora_B.weight", 8, 2),
			it("base_model.model.lm_head.base_layer.weight", 8, 6),
			it("base_model.model.model.embed_tokens.lora_embedding_A", 2, 8), it("base_model.model.model.embed_tokens.lora_embedding_B", 6, 2),
		), Options{})
		for _, e := range r.Edits {
			if _, got := e.Transform.(transform.Rebased); got != (e.Module == "model.q_proj") {
				t.Errorf("%s: %s: %T", init, e.Module, e.Transform)
			}
		}
	}
}
