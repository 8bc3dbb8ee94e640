package peft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// item is a tensor of a made-up adapter. Its values are 1, or those of fill.
type item struct {
	name  string
	shape []int64
	fill  []float32
}

func it(name string, shape ...int64) item { return item{name: name, shape: shape} }

func (x item) with(v ...float32) item { x.fill = v; return x }

func (x item) tensor(t testing.TB) *safetensors.Tensor {
	t.Helper()
	info := safetensors.Info{Name: x.name, DType: safetensors.F32, Shape: x.shape}
	n, err := info.Elements()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 4*n)
	for i := range n {
		v := float32(1)
		if len(x.fill) > 0 {
			v = x.fill[int(i)%len(x.fill)]
		}
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
	}
	out, err := safetensors.FromBytes(info, data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func weights(t testing.TB, items []item) []byte {
	t.Helper()
	var tensors []*safetensors.Tensor
	for _, x := range items {
		tensors = append(tensors, x.tensor(t))
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, map[string]string{"format": "pt"}, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// adapter writes an adapter; fields are what follows peft_type and r = 2.
func adapter(t testing.TB, fields string, items ...item) string {
	t.Helper()
	dir := t.TempDir()
	config := `{"peft_type": "LORA", "r": 2, "lora_alpha": 4`
	if fields != "" {
		config += ", " + fields
	}
	put(t, dir, configName, []byte(config+"}"))
	put(t, dir, weightsName, weights(t, items))
	return dir
}

func put(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func tensorNames(t testing.TB, path string) []string {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range f.Tensors() {
		names = append(names, x.Name)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return names
}

func open(t *testing.T, dir string, o Options) (*transform.Recipe, error) {
	t.Helper()
	r, err := Open(dir, o)
	if err == nil {
		t.Cleanup(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return r, err
}

func mustOpen(t *testing.T, dir string, o Options) *transform.Recipe {
	t.Helper()
	r, err := open(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	r.Warnings = slices.DeleteFunc(r.Warnings, aboutNames)
	return r
}

// aboutNames picks the warnings of names that only PEFT does not read: most adapters
// of these tests have short ones.
func aboutNames(w transform.Warning) bool {
	return w.Concern == transform.NameLeft || w.Concern == transform.NamesWrapped
}

// TestNamesThatPEFTDoesNotLoad has names with which PEFT 0.21.2 loads nothing, or loads
// it under one adapter's name only, as seen by loading them.
func TestNamesThatPEFTDoesNotLoad(t *testing.T) {
	for name, want := range map[string][]transform.Concern{
		"base_model.model.a.%s.weight":                      nil,
		"base_model.model.a.%s.default.weight":              {transform.NameLeft},
		"_orig_mod.base_model.model.a.%s.weight":            {transform.NamesWrapped},
		"base_model.model._orig_mod.a.%s.weight":            {transform.NamesWrapped},
		"base_model.model.base_model.model.a.%s.weight":     {transform.NamesWrapped},
		"base_model.model._fsdp_wrapped_module.a.%s.weight": {transform.NamesWrapped},
		"module.base_model.model.a.%s.weight":               {transform.NamesWrapped},
		"a.%s.weight":                                       {transform.NamesWrapped},
		"a.%s.sql.weight":                                   {transform.NameLeft, transform.NamesWrapped},
	} {
		r, err := open(t, adapter(t, "", it(fmt.Sprintf(name, "lora_A"), 2, 3), it(fmt.Sprintf(name, "lora_B"), 4, 2)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []transform.Concern
		for _, w := range r.Warnings {
			got = append(got, w.Concern)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, r.Warnings, want)
		}
	}
}

// pair is the adapter of a linear layer.
func pair(module string) []item {
	return []item{it("base_model.model."+module+".lora_A.weight", 2, 3), it("base_model.model."+module+".lora_B.weight", 4, 2)}
}

func TestSpellingsOfKeys(t *testing.T) {
	for _, prefix := range []string{
		"base_model.model.", "", "_orig_mod.base_model.model.", "module.base_model.model.", "module._orig_mod.base_model.model.",
		"base_model.model._orig_mod.", "_fsdp_wrapped_module.base_model.model.", "base_model.model.x._fsdp_wrapped_module.",
		"base_model.model.base_model.model.", "base_model.model.model.", "base_model.model.module.",
	} {
		for _, name := range []string{"", ".default", ".style"} {
			r := mustOpen(t, adapter(t, "", it(prefix+"a.lora_A"+name+".weight", 2, 3), it(prefix+"a.lora_B"+name+".weight", 4, 2)), Options{})
			want := map[string]string{
				"base_model.model.x._fsdp_wrapped_module.": "x.a", "base_model.model.base_model.model.": "base_model.model.a",
				"base_model.model.model.": "model.a", "base_model.model.module.": "module.a",
			}[prefix]
			if want == "" {
				want = "a"
			}
			if len(r.Edits) != 1 || r.Edits[0].Module != want || !slices.Equal(r.Edits[0].Alt, []string{"in_proj_weight"}) {
				t.Errorf("%s%s: %+v", prefix, name, r.Edits)
			}
		}
	}
}

func TestUnstrippedNames(t *testing.T) {
	fields := `"use_dora": true, "modules_to_save": ["score"], "trainable_token_indices": [5]`
	r := mustOpen(t, adapter(t, fields,
		it("base_model.model.a.lora_A.default.weight", 2, 3), it("base_model.model.a.lora_B.default.weight", 4, 2),
		it("base_model.model.a.lora_magnitude_vector.default.weight", 4),
		it("base_model.model.e.lora_embedding_A.default", 2, 9), it("base_model.model.e.lora_embedding_B.default", 3, 2),
		it("base_model.model.e.lora_magnitude_vector.default", 3),
		it("base_model.model.score.modules_to_save.default.weight", 4, 4),
		it("base_model.model.score.modules_to_save.default.dense.bias", 4),
		it("base_model.model.score.original_module.weight", 4, 4),
		it("base_model.model.t.token_adapter.trainable_tokens_delta.default", 1, 3),
	), Options{})
	same(t, describe(r), []string{
		"score.weight replace adds", "score.dense.bias replace adds", "t.weight rows [5] shared", "a.weight dora linear 2", "e.weight dora embedding 2",
	})
}

func TestOrderOfEdits(t *testing.T) {
	fields := `"lora_bias": true, "bias": "all", "modules_to_save": ["score"], "trainable_token_indices": {"emb": [1, 0]}`
	r := mustOpen(t, adapter(t, fields,
		it("base_model.model.emb.token_adapter.trainable_tokens_delta", 2, 3),
		it("base_model.model.a.lora_B.bias", 4), it("base_model.model.a.lora_B.weight", 4, 2), it("base_model.model.a.lora_A.weight", 2, 3),
		it("base_model.model.score.weight", 3), it("base_model.model.a.base_layer.bias", 4), it("base_model.model.norm.bias", 4),
		it("base_model.model.emb.token_adapter.base_layer.weight", 9, 3),
	), Options{})
	got := describe(r)
	slices.Sort(got[:3])
	same(t, got, []string{
		"a.bias replace shared", "emb.weight replace shared", "norm.bias replace shared",
		"score.weight replace adds", "emb.weight rows [1 0] shared", "a.weight lora linear 2", "a.bias bias 2",
	})
}

func TestRankAndAlphaPatterns(t *testing.T) {
	fields := `"rank_pattern": {"a+": 3, "a": 2, "b": 1}, "alpha_pattern": {"layer.(?!a).*": 10, "x.layer.a": 0.5}, "use_rslora": true`
	r := mustOpen(t, adapter(t, fields,
		it("x.layer.a.lora_A.weight", 3, 3), it("x.layer.a.lora_B.weight", 4, 3), // a+ comes first
		it("x.layer.b.lora_A.weight", 1, 3), it("x.layer.b.lora_B.weight", 4, 1),
		it("x.layer.ba.lora_A.weight", 2, 3), it("x.layer.ba.lora_B.weight", 4, 2), // no pattern of rank: anchored at dots
	), Options{})
	want := []float64{0.5 / math.Sqrt(3), 10, 10 / math.Sqrt(2)}
	for i, e := range r.Edits {
		if low, _ := lowRankOf(e.Transform); low.Scale != want[i] {
			t.Errorf("%s: scale %g, want %g", e.Module, low.Scale, want[i])
		}
	}
}

func TestRankMismatch(t *testing.T) {
	_, err := open(t, adapter(t, `"rank_pattern": {"q": 3}`, it("a.q.lora_A.weight", 2, 3), it("a.q.lora_B.weight", 4, 2)), Options{})
	if e := (*RankError)(nil); !as(err, &e) || e.Config != 3 || e.Got != 2 || e.Field != `rank_pattern "q"` || e.Tensor != "a.q.lora_A.weight" {
		t.Errorf("%v", err)
	}
	_, err = open(t, adapter(t, "", it("a.lora_A.weight", 3, 3), it("a.lora_B.weight", 4, 3)), Options{})
	if e := (*RankError)(nil); !as(err, &e) || e.Config != 2 || e.Got != 3 || e.Field != "r" {
		t.Errorf("%v", err)
	}
	_, err = open(t, adapter(t, "", it("a.lora_A.weight", 3, 2), it("a.lora_B.weight", 4, 2)), Options{})
	if e := (*ModuleError)(nil); !as(err, &e) || !strings.Contains(err.Error(), `"a.lora_B.weight" has shape [4 2], but "a.lora_A.weight" [3 2] needs [? 3]`) {
		t.Errorf("%v", err)
	}
}

func TestBadPatterns(t *testing.T) {
	for _, field := range []string{"rank_pattern", "alpha_pattern"} {
		_, err := open(t, adapter(t, `"`+field+`": {"(q": 2}`, pair("a")...), Options{})
		if e := (*FieldError)(nil); !as(err, &e) || e.Field != field || e.Value != `"(q"` {
			t.Errorf("%v", err)
		}
		_, err = open(t, adapter(t, `"`+field+`": {"(\\w+\\w*)+!": 2}`, pair("a"+strings.Repeat("a", 60))...), Options{})
		if e := (*FieldError)(nil); !as(err, &e) || e.Field != field {
			t.Errorf("time-out: %v", err)
		}
	}
}

func TestNamesThatAreNoPatternForThemselves(t *testing.T) {
	r := mustOpen(t, adapter(t, `"alpha_pattern": {"a+b": 6}`, pair("a+b")...), Options{})
	if low, _ := lowRankOf(r.Edits[0].Transform); low.Scale != 3 {
		t.Errorf("scale %g", low.Scale)
	}
}

func TestIncompleteModules(t *testing.T) {
	for _, x := range []struct {
		fields, want string
		items        []item
	}{
		{"", "lora_B", []item{it("m.a.lora_A.weight", 2, 3)}},
		{"", "lora_A", []item{it("m.a.lora_B.weight", 4, 2)}},
		{"", "lora_embedding_B", []item{it("m.a.lora_embedding_A", 2, 3)}},
		{"", "lora_embedding_A", []item{it("m.a.lora_embedding_B", 2, 3)}},
		{`"use_dora": true`, "lora_magnitude_vector", pair("m.a")},
		{`"lora_bias": true`, "lora_B.bias", pair("m.a")},
		{`"use_dora": true`, "lora_A", []item{it("m.a.lora_magnitude_vector", 4)}},
		{`"trainable_token_indices": [1]`, "token_adapter.trainable_tokens_delta", pair("m.a")},
		{`"trainable_token_indices": {"x": [1], "y": [2]}`, "token_adapter.trainable_tokens_delta",
			[]item{it("m.x.token_adapter.trainable_tokens_delta", 1, 3)}},
	} {
		_, err := open(t, adapter(t, x.fields, x.items...), Options{AllowUnused: true, AllowNonFinite: true})
		if e := (*MissingTensorError)(nil); !as(err, &e) || e.Want != x.want {
			t.Errorf("%s %v: %v", x.fields, x.items, err)
		}
	}
}

// TestNormStatistics: a batch norm that was trained has all of its statistics or none.
func TestNormStatistics(t *testing.T) {
	const norm = "m.n.ln_tuning_layers."
	whole := []item{it(norm+"weight", 4), it(norm+"bias", 4), it(norm+"running_mean", 4), it(norm+"running_var", 4), it(norm + "num_batches_tracked")}
	if r := mustOpen(t, adapterOf(t, "LN_TUNING", "", whole...), Options{}); len(r.Edits) != len(whole) {
		t.Errorf("%+v", r.Edits)
	}
	if r := mustOpen(t, adapterOf(t, "LN_TUNING", "", whole[:2]...), Options{}); len(r.Edits) != 2 {
		t.Errorf("%+v", r.Edits)
	}
	for i := 2; i < len(whole); i++ {
		_, err := open(t, adapterOf(t, "LN_TUNING", "", append(slices.Clone(whole[:i]), whole[i+1:]...)...), Options{})
		if e := (*MissingTensorError)(nil); !as(err, &e) {
			t.Errorf("without %s: %v", whole[i].name, err)
		}
	}
}

func TestConfigAndTensorsDisagree(t *testing.T) {
	for _, x := range []struct {
		fields, field string
		items         []item
	}{
		{"", "use_dora", append(pair("a"), it("a.lora_magnitude_vector", 4))},
		{"", "lora_bias", append(pair("base_model.model.a"), it("base_model.model.base_model.model.a.lora_B.bias", 4))},
		{"", "trainable_token_indices", []item{it("e.token_adapter.trainable_tokens_delta", 1, 3)}},
		{`"trainable_token_indices": [1, 2]`, "trainable_token_indices", []item{it("e.token_adapter.trainable_tokens_delta", 1, 3)}},
		{`"trainable_token_indices": {"f": [1]}`, "trainable_token_indices", []item{it("e.token_adapter.trainable_tokens_delta", 1, 3)}},
	} {
		_, err := open(t, adapter(t, x.fields, x.items...), Options{AllowUnused: true})
		if e := (*FieldError)(nil); !as(err, &e) || e.Field != x.field {
			t.Errorf("%s %v: %v", x.fields, x.items, err)
		}
	}
}

func TestUnknownTensors(t *testing.T) {
	unknown := []string{
		"a.lora_C.weight", "a.lora_A.weight.extra.lora_", "a.lora_E", "weight", "lora_A.weight", "x..y.weight", "a.lora_A.bias",
		"experts.base_layer.lora_A.weight", "a.base_layer.b.weight", "a.token_adapter.lora_A.weight", "a.token_adapter.token_indices",
		"e.token_adapter.base_layer.lora_embedding_A",
	}
	items := pair("ok")
	for _, name := range unknown {
		items = append(items, it(name, 2, 2))
	}
	dir := adapter(t, "", items...)
	_, err := open(t, dir, Options{})
	e := (*UnknownTensorsError)(nil)
	if !as(err, &e) {
		t.Fatal(err)
	}
	slices.Sort(e.Tensors)
	slices.Sort(unknown)
	same(t, e.Tensors, unknown)

	r := mustOpen(t, dir, Options{AllowUnused: true})
	if len(r.Edits) != 1 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, "left out") {
		t.Errorf("%v %q", describe(r), r.Warnings)
	}
}

func TestTwoNamesForOnePlace(t *testing.T) {
	for _, x := range [][]item{
		append(pair("a"), it("a.lora_A.weight", 2, 3).with(2)),
		append(pair("a"), it("a.lora_A.default.weight", 2, 3).with(2)),
		append(pair("a"), it("a.lora_embedding_A", 2, 3), it("a.lora_embedding_B", 2, 3), it("e.token_adapter.trainable_tokens_delta", 1, 2)),
		{it("score.weight", 2), it("score.modules_to_save.weight", 2).with(3)},
		{it("n.bias", 2), it("base_model.model.n.bias", 2, 1)},
		{it("e.token_adapter.trainable_tokens_delta", 1, 2), it("e.token_adapter.trainable_tokens_delta.default", 1, 2).with(0)},
	} {
		_, err := open(t, adapter(t, `"task_type": "SEQ_CLS", "trainable_token_indices": [1]`, x...), Options{AllowUnused: true})
		if e := (*DuplicateTensorError)(nil); !as(err, &e) {
			t.Errorf("%v: %v", x, err)
		}
	}
	r := mustOpen(t, adapter(t, `"task_type": "SEQ_CLS"`, append(pair("a"), it("score.weight", 2), it("score.modules_to_save.weight", 2))...), Options{})
	same(t, describe(r), []string{"score.weight replace adds", "a.weight lora linear 2"})
}

func TestSeveralAdaptersInOneFile(t *testing.T) {
	_, err := open(t, adapter(t, "",
		it("a.lora_A.one.weight", 2, 3), it("a.lora_B.one.weight", 4, 2), it("b.lora_A.two.weight", 2, 3), it("b.lora_B.two.weight", 4, 2)), Options{})
	if e := (*UnsupportedError)(nil); !as(err, &e) || !strings.Contains(e.Reason, "one, two") {
		t.Error(err)
	}
}

func TestEmptyFiles(t *testing.T) {
	_, err := open(t, adapter(t, ""), Options{})
	if e := (*EmptyError)(nil); !as(err, &e) || e.Total != 0 || e.Size == 0 || e.Tensors != nil {
		t.Errorf("no tensors: %v", err)
	}
	_, err = open(t, adapter(t, "", it("a.lora_A.weight", 0), it("a.lora_B.weight", 0)), Options{})
	if e := (*EmptyError)(nil); !as(err, &e) || e.Total != 2 || len(e.Tensors) != 2 {
		t.Errorf("placeholders: %v", err)
	}
	_, err = open(t, adapter(t, "", append(pair("b"), it("a.lora_A.weight", 0))...), Options{})
	if e := (*EmptyError)(nil); !as(err, &e) || e.Total != 3 || len(e.Tensors) != 1 {
		t.Errorf("one placeholder: %v", err)
	}
}

func TestFlatFactors(t *testing.T) {
	for _, flat := range []item{it("a.lora_A.weight", 6), it("a.lora_B.default.weight", 8), it("a.lora_embedding_A", 6), it("a.lora_A")} {
		_, err := open(t, adapter(t, "", append(pair("b"), flat)...), Options{})
		if e := (*FlatError)(nil); !as(err, &e) || e.Total != 3 || len(e.Tensors) != 1 || !slices.Equal(e.Shape, flat.shape) {
			t.Errorf("%s: %v", flat.name, err)
		}
	}
}

func TestWeightsFiles(t *testing.T) {
	dir := adapter(t, "", pair("a")...)
	put(t, dir, "adapter_model.bin", []byte("x"))
	mustOpen(t, dir, Options{}) // safetensors wins
	if err := os.Remove(filepath.Join(dir, weightsName)); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, dir, Options{})
	if e := (*torchfile.Error)(nil); !as(err, &e) || e.Kind != torchfile.NotTorch {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "adapter_model.bin")); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, dir, Options{})
	if e := (*NoWeightsError)(nil); !as(err, &e) || e.Dir != dir {
		t.Error(err)
	}
	put(t, dir, weightsName, []byte("version https://git-lfs.github.com/spec/v1"))
	_, err = open(t, dir, Options{})
	if e := (*safetensors.Error)(nil); !as(err, &e) {
		t.Error(err)
	}
}

func TestNonFiniteValues(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		items := append(pair("a"), it("a.base_layer.bias", 3).with(1, 2, float32(v)))
		dir := adapter(t, `"bias": "all"`, items...)
		_, err := open(t, dir, Options{})
		if e := (*NonFiniteError)(nil); !as(err, &e) || e.Tensor != "a.base_layer.bias" {
			t.Errorf("%g: %v", v, err)
		}
		if r := mustOpen(t, dir, Options{AllowNonFinite: true}); len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, "a.base_layer.bias") {
			t.Errorf("%g: %q", v, r.Warnings)
		}
	}
	r := mustOpen(t, adapter(t, "", it("a.lora_A.weight", 2, 3).with(math.MaxFloat32), it("a.lora_B.weight", 4, 2).with(-math.SmallestNonzeroFloat32)), Options{})
	if len(r.Warnings) > 0 {
		t.Errorf("%q", r.Warnings)
	}
}

func TestZeroAdapters(t *testing.T) {
	zero := []item{it("a.lora_A.weight", 2, 3), it("a.lora_B.weight", 4, 2).with(0)}
	r := mustOpen(t, adapter(t, "", zero...), Options{})
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, "every module") {
		t.Errorf("%q", r.Warnings)
	}
	r = mustOpen(t, adapter(t, "", append(pair("b"), zero...)...), Options{})
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, "1 of 2 modules is zero: a") {
		t.Errorf("%q", r.Warnings)
	}
	r = mustOpen(t, adapter(t, `"use_dora": true`, append(zero, it("a.lora_magnitude_vector", 4))...), Options{})
	if len(r.Warnings) != 0 {
		t.Errorf("%q", r.Warnings)
	}
	r = mustOpen(t, adapter(t, `"alpha_pattern": {"b": 0}`, pair("b")...), Options{})
	if len(r.Warnings) != 1 {
		t.Errorf("%q", r.Warnings)
	}
}

func TestTargetModules(t *testing.T) {
	for _, x := range []struct {
		value string
		warns string
	}{
		{`["a", "b"]`, ""}, {`["a"]`, "does not match 1 of 2"}, {`["x.a", "b"]`, ""}, {`["y.a", "b"]`, "x.a"}, {`"all-linear"`, ""}, {`null`, ""},
		{`".*\\.(a|b)"`, ""}, {`"(a|b)"`, "does not match 2 of 2"}, {`".*a++"`, "cannot be checked"}, {`[]`, ""},
		{`["all-linear"]`, ""},
		{`["a", "b"], "exclude_modules": ["b"]`, "exclude_modules leaves out 1 of 2"}, {`"x.*", "exclude_modules": ".*a"`, "x.a"},
		{`["a", "b"], "exclude_modules": ["c"]`, ""}, {`["a", "b"], "exclude_modules": []`, ""},
	} {
		r := mustOpen(t, adapter(t, `"target_modules": `+x.value, append(pair("x.a"), pair("x.b")...)...), Options{})
		if x.warns == "" && len(r.Warnings) > 0 || x.warns != "" && (len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, x.warns)) {
			t.Errorf("%s: %q", x.value, r.Warnings)
		}
	}
}

func TestLayersToTransform(t *testing.T) {
	for _, x := range []struct {
		value string
		warns string
	}{
		{`["a"], "layers_to_transform": [0, 1]`, ""}, {`["a"], "layers_to_transform": []`, ""},
		{`["a"], "layers_to_transform": [1]`, "layers_to_transform leaves out 1 of 2"},
		{`["a"], "layers_to_transform": 0`, "x.layers.1.a"},
		{`["a"], "layers_to_transform": [0, 1], "layers_pattern": ["h"]`, "leaves out 2 of 2"},
		{`["x.layers.1.a", "a"], "layers_to_transform": [0]`, ""}, // a full name is meant whatever its layer
		{`".*", "layers_to_transform": [7]`, ""},                  // a pattern as well
	} {
		r := mustOpen(t, adapter(t, `"target_modules": `+x.value, append(pair("x.layers.0.a"), pair("x.layers.1.a")...)...), Options{})
		if x.warns == "" && len(r.Warnings) > 0 || x.warns != "" && (len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, x.warns)) {
			t.Errorf("%s: %q", x.value, r.Warnings)
		}
	}
}

func TestModulesToSave(t *testing.T) {
	// PEFT's rule has no regard for dots: "core" also means the module "score".
	r := mustOpen(t, adapter(t, `"modules_to_save": ["core", "x.head"]`, append(pair("a"),
		it("score.dense.weight", 2), it("m.x.head.bias", 2), it("x.head2.weight", 2))...), Options{})
	same(t, describe(r), []string{
		"x.head2.weight replace shared", "score.dense.weight replace adds", "m.x.head.bias replace adds", "a.weight lora linear 2",
	})
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, "x.head2.weight") {
		t.Errorf("%q", r.Warnings)
	}
	r = mustOpen(t, adapter(t, `"modules_to_save": ["lm_head"], "ensure_weight_tying": true`, append(pair("a"), it("lm_head.weight", 2))...), Options{})
	same(t, only(describe(r), "lm_head"), []string{"lm_head.weight replace shared adds"})
	for task, module := range map[string]string{"SEQ_CLS": "score", "TOKEN_CLS": "classifier", "QUESTION_ANS": "qa_outputs"} {
		r := mustOpen(t, adapter(t, `"task_type": "`+task+`"`, append(pair("a"), it(module+".weight", 2))...), Options{})
		same(t, only(describe(r), module), []string{module + ".weight replace adds"})
	}
	r = mustOpen(t, adapter(t, `"modules_to_save": ["lm_head", "qa_outputs"]`, pair("a")...), Options{})
	if !slices.Equal(r.Trained.Headless, []string{"qa_outputs"}) || len(r.Untrained) != 1 || r.Untrained[0] != "lm_head" {
		t.Errorf("%q %q", r.Trained.Headless, r.Untrained)
	}
	r = mustOpen(t, adapter(t, `"modules_to_save": ["classifier", "score"]`, pair("a")...), Options{})
	if !slices.Equal(r.Trained.Headless, []string{"classifier", "score"}) {
		t.Errorf("%q", r.Trained.Headless)
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	if _, err := Open(t.TempDir(), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	long := &UnknownTensorsError{File: "f", Tensors: strings.Fields("a b c d e f g")}
	if got, want := long.Error(), `"f" holds 7 unknown tensors: a, b, c, d, e and 2 more`; got != want {
		t.Errorf("%s", got)
	}
}
