package peft

import (
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/transform"
)

// adapterOf writes an adapter of a type.
func adapterOf(t testing.TB, kind, fields string, items ...item) string {
	t.Helper()
	dir := t.TempDir()
	config := `{"peft_type": "` + kind + `"`
	if fields != "" {
		config += ", " + fields
	}
	put(t, dir, configName, []byte(config+"}"))
	put(t, dir, weightsName, weights(t, items))
	return dir
}

// sample is an adapter for one module m: config fields and tensors.
type sample struct {
	fields string
	items  []item
}

// moduleOf is a whole adapter of each type. The test file of a type may add its own.
var moduleOf = map[string]sample{
	"ADALORA":   {`"init_r": 2`, []item{it("base_model.model.m.lora_A", 2, 3), it("base_model.model.m.lora_B", 4, 2), it("base_model.model.m.lora_E", 2, 1)}},
	"BEFT":      {"", []item{it("base_model.model.m.beft_bias", 1, 4)}},
	"BONE":      {`"r": 2`, []item{it("base_model.model.m.bone_block", 2, 4)}},
	"IA3":       {"", []item{it("base_model.model.m.ia3_l", 4, 1)}},
	"LN_TUNING": {"", []item{it("base_model.model.m.ln_tuning_layers.weight", 4), it("base_model.model.m.ln_tuning_layers.bias", 4)}},
	"LOHA": {`"r": 2`, []item{it("base_model.model.m.hada_w1_a", 4, 2), it("base_model.model.m.hada_w1_b", 2, 3),
		it("base_model.model.m.hada_w2_a", 4, 2), it("base_model.model.m.hada_w2_b", 2, 3)}},
	"LORA":             {`"r": 2`, []item{it("base_model.model.m.lora_A.weight", 2, 3), it("base_model.model.m.lora_B.weight", 4, 2)}},
	"MISS":             {`"r": 2`, []item{it("base_model.model.m.miss_block", 2, 4)}},
	"TRAINABLE_TOKENS": {`"token_indices": [1, 2]`, []item{it("base_model.model.m.trainable_tokens_delta", 2, 3)}},
	"VERA": {`"r": 2`, []item{it("base_model.model.m.vera_lambda_b", 4), it("base_model.model.m.vera_lambda_d", 2),
		it("base_model.vera_A", 2, 5), it("base_model.vera_B", 6, 2)}},
}

// optional are tensors that a module may lack.
var optional = []string{"base_model.model.m.ln_tuning_layers.bias"}

// TestModules: of every type, a whole module opens, with wrappers and adapter names in
// its keys as well; each tensor that is taken away, or added, is an error that names
// it.
func TestModules(t *testing.T) {
	for _, kind := range Types() {
		m, ok := moduleOf[kind]
		if !ok {
			t.Errorf("no module of type %s", kind)
			continue
		}
		t.Run(kind, func(t *testing.T) {
			for form, rename := range map[string]func(string) string{
				"plain":    func(s string) string { return s },
				"compiled": func(s string) string { return "_orig_mod." + s },
				"fsdp":     func(s string) string { return strings.Replace(s, ".m.", ".m._fsdp_wrapped_module.", 1) },
				"named":    named,
			} {
				r, err := open(t, adapterOf(t, kind, m.fields, renamed(m.items, rename)...), Options{})
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				if len(r.Edits) == 0 || r.Edits[0].Module != "m" || r.Type != kind || len(slices.DeleteFunc(r.Warnings, aboutNames)) > 0 {
					t.Errorf("%s: %+v", form, r)
				}
				checkRecipe(t, r, itemNames(renamed(m.items, rename)))
			}
			for i, x := range m.items {
				if slices.Contains(optional, x.name) || len(m.items) == 1 {
					continue
				}
				_, err := open(t, adapterOf(t, kind, m.fields, slices.Delete(slices.Clone(m.items), i, i+1)...), Options{})
				if e := (*MissingTensorError)(nil); !as(err, &e) || !strings.Contains(x.name, strings.TrimSuffix(e.Want, ".weight")) {
					t.Errorf("without %s: %v", x.name, err)
				}
			}
			prefix := mustFind(t, kind).prefix
			extra := it("base_model.model.m."+prefix+"unheard_of", 3)
			_, err := open(t, adapterOf(t, kind, m.fields, append(slices.Clone(m.items), extra)...), Options{})
			if e := (*UnknownTensorsError)(nil); !as(err, &e) || !slices.Equal(e.Tensors, []string{extra.name}) {
				t.Errorf("with %s: %v", extra.name, err)
			}
			again := m.items[0]
			again.name = named(again.name)
			_, err = open(t, adapterOf(t, kind, m.fields, append(slices.Clone(m.items), again.with(5))...), Options{})
			if e := (*DuplicateTensorError)(nil); !as(err, &e) {
				t.Errorf("with %s twice: %v", again.name, err)
			}
		})
	}
}

func mustFind(t *testing.T, kind string) typeRule {
	t.Helper()
	r, err := findMethod("", kind)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// named puts the adapter's name into a key, where PEFT has it: behind the first part of
// the leaf.
func named(key string) string {
	above := "base_model."
	if strings.HasPrefix(key, "base_model.model.m.") {
		above = "base_model.model.m."
	}
	first, rest, more := strings.Cut(strings.TrimPrefix(key, above), ".")
	if !more {
		return key + ".default"
	}
	return above + first + ".default." + rest
}

func renamed(items []item, rename func(string) string) []item {
	out := slices.Clone(items)
	for i := range out {
		out[i].name = rename(out[i].name)
	}
	return out
}

func itemNames(items []item) []string {
	var names []string
	for _, x := range items {
		names = append(names, x.name)
	}
	return names
}

func TestLeaves(t *testing.T) {
	for _, x := range []struct {
		path, key             string
		module, adapter, role string
	}{
		{"ia3_l", "a.b.ia3_l", "a.b", "", "ia3_l"},
		{"ia3_l", "a.b.ia3_l.other", "a.b", "other", "ia3_l"},
		{"ia3_l", "ia3_l", "", "", ""},
		{"ia3_l", "a.ia3_l.weight", "", "", ""},
		{"lora_A.weight", "a.lora_A.weight", "a", "", "lora_A"},
		{"lora_A.weight", "a.lora_A.x.weight", "a", "x", "lora_A"},
		{"lora_A.weight", "a.lora_A", "", "", ""},
		{"peanut_encoders.#.weight", "a.peanut_encoders.12.weight", "a", "", "peanut_encoders.12"},
		{"peanut_encoders.#.weight", "a.peanut_encoders.default.1.weight", "a", "default", "peanut_encoders.1"},
		{"peanut_encoders.#.weight", "a.peanut_encoders.x.weight", "", "", ""},
		{"osf_svd_params.U_low", "a.osf_svd_params.U_low", "a", "", "osf_svd_params.U_low"},
		{"tinylora_v.*", "base_model.tinylora_v.g3", "base_model", "", "tinylora_v.g3"},
		{"tinylora_v.*", "base_model.tinylora_v.default.g3", "base_model", "default", "tinylora_v.g3"},
	} {
		module, adapter, r, ok := leaf{path: x.path}.cut(strings.Split(x.key, "."))
		if ok != (x.role != "") || join(module) != x.module || string(r) != x.role || ok && adapter != x.adapter {
			t.Errorf("%s in %s: %q, %q, %q, %v", x.path, x.key, module, adapter, r, ok)
		}
	}
}

// TestUntrained: an adapter that changes nothing is said to.
func TestUntrained(t *testing.T) {
	zero := func(x item) item { return x.with(0) }
	for kind, zeroed := range map[string]int{"LOHA": 3, "MISS": 0, "ADALORA": 2, "VERA": 0} {
		m := moduleOf[kind]
		items := slices.Clone(m.items)
		items[zeroed] = zero(items[zeroed])
		r, err := open(t, adapterOf(t, kind, m.fields, items...), Options{})
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, "every module is zero") {
			t.Errorf("%s: warnings %q", kind, r.Warnings)
		}
	}
}

// TestRanksOfTypes: a rank that is not the config's is an error, of all that have one.
func TestRanksOfTypes(t *testing.T) {
	for kind, field := range map[string]string{"LOHA": "r", "MISS": "r", "BONE": "r", "ADALORA": "init_r", "VERA": "r"} {
		_, err := open(t, adapterOf(t, kind, `"`+field+`": 3`, moduleOf[kind].items...), Options{})
		if e := (*RankError)(nil); !as(err, &e) || e.Config != 3 || e.Got != 2 || e.Field != field || e.Module != "m" {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestFeedForwardModules(t *testing.T) {
	for fields, want := range map[string]bool{
		`"feedforward_modules": ["m"]`: true, `"feedforward_modules": []`: false, `"feedforward_modules": "m|n"`: true,
		`"feedforward_modules": "nm"`: false, `"feedforward_modules": null`: false,
	} {
		r, err := open(t, adapterOf(t, "IA3", fields, moduleOf["IA3"].items...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		first, ok := r.Edits[0].Transform.(transform.Scaling)
		if !ok || first.Inputs != want || len(r.Edits) != map[bool]int{true: 1, false: 2}[want] {
			t.Errorf("%s: %+v", fields, r.Edits)
		}
	}
	_, err := open(t, adapterOf(t, "IA3", `"feedforward_modules": "("`, moduleOf["IA3"].items...), Options{})
	if e := (*FieldError)(nil); !as(err, &e) || e.Field != "feedforward_modules" {
		t.Errorf("broken pattern: %v", err)
	}
}

// TestEmptyTensorsOfTypes: rank 0 is a module that AdaLoRA has pruned; elsewhere, and
// without any side, it is a loss.
func TestEmptyTensorsOfTypes(t *testing.T) {
	pruned := []item{it("base_model.model.m.lora_A", 0, 3), it("base_model.model.m.lora_B", 4, 0), it("base_model.model.m.lora_E", 0, 1)}
	fields := `"init_r": 2, "rank_pattern": {"m.lora_E": [false, false]}`
	if _, err := open(t, adapterOf(t, "ADALORA", fields, pruned...), Options{}); err != nil {
		t.Error(err)
	}
	lost := []item{it("base_model.model.m.lora_A", 0), it("base_model.model.m.lora_B", 0), it("base_model.model.m.lora_E", 0)}
	for _, dir := range []string{
		adapterOf(t, "ADALORA", fields, lost...),
		adapterOf(t, "LOHA", "", it("base_model.model.m.hada_w1_a", 4, 0)),
	} {
		_, err := open(t, dir, Options{})
		if e := (*EmptyError)(nil); !as(err, &e) {
			t.Error(err)
		}
	}
}

// TestContradictions: of every type with two factors, one that does not fit the other is
// told by both, although the first has the config's rank.
func TestContradictions(t *testing.T) {
	for kind, c := range map[string]struct {
		at    int
		shape []int64
		with  int
	}{
		"LORA": {1, []int64{4, 3}, 0}, "LOHA": {0, []int64{4, 3}, 1}, "ADALORA": {1, []int64{4, 3}, 2}, "HIRA": {1, []int64{4, 3}, 0},
		"DELORA": {1, []int64{4, 3}, 0}, "GLORA": {0, []int64{4, 3}, 1},
	} {
		items := slices.Clone(moduleOf[kind].items)
		items[c.at].shape = c.shape
		_, err := open(t, adapterOf(t, kind, moduleOf[kind].fields, items...), Options{})
		if e := (*ModuleError)(nil); !as(err, &e) || !strings.Contains(err.Error(), items[c.at].name) || !strings.Contains(err.Error(), items[c.with].name) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
