package peft

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/transform"
)

// expectation is what testdata/make.py notes of an adapter: what PEFT made of it.
type expectation struct {
	Layers map[string]struct {
		R       int64
		Scaling float64
	}
	Base []string
}

func savedAdapters(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/saved/*")
	if err != nil || len(dirs) < 20 {
		t.Fatalf("%d adapters, %v", len(dirs), err)
	}
	return dirs
}

func openSaved(t *testing.T, name string) *transform.Recipe {
	t.Helper()
	r, err := Open(filepath.Join("testdata/saved", name), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// TestSavedAdapters: every adapter that PEFT saved and loaded opens; layers, ranks and
// scalings are PEFT's, and every edit is for a parameter of the base.
func TestSavedAdapters(t *testing.T) {
	for _, dir := range savedAdapters(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var want expectation
			text, err := os.ReadFile(filepath.Join(dir, "expect.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			r := openSaved(t, filepath.Base(dir))
			if len(r.Warnings) > 0 {
				t.Errorf("warnings: %q", r.Warnings)
			}
			checkLayers(t, r, want)
			checkParameters(t, r, want.Base)
			checkAccounts(t, r, dir)
		})
	}
}

func checkLayers(t *testing.T, r *transform.Recipe, want expectation) {
	t.Helper()
	seen := 0
	for _, e := range r.Edits {
		low, ok := lowRankOf(e.Transform)
		if !ok {
			continue
		}
		seen++
		name := e.Module
		if low.Layer == transform.OutProj {
			name = strings.TrimSuffix(name, "out_proj") + "base_layer.out_proj"
		}
		w, ok := want.Layers[name]
		if !ok || w.R != low.A.Shape[0] || w.Scaling != low.Scale {
			t.Errorf("%s: rank %d, scaling %g, PEFT has %+v", name, low.A.Shape[0], low.Scale, w)
		}
	}
	if seen != len(want.Layers) || seen == 0 {
		t.Errorf("%d layers, PEFT has %d", seen, len(want.Layers))
	}
}

func lowRankOf(t transform.Transform) (transform.LowRank, bool) {
	switch x := t.(type) {
	case transform.LowRank:
		return x, true
	case transform.DoRA:
		return x.LowRank, true
	}
	return transform.LowRank{}, false
}

func checkParameters(t *testing.T, r *transform.Recipe, base []string) {
	t.Helper()
	for _, e := range r.Edits {
		name := e.Module + "." + e.Param
		if len(r.Replication) > 0 {
			name = strings.Replace(name, "layers.2", "layers.1", 1)
		}
		if !slices.Contains(base, name) {
			t.Errorf("%s is no parameter of the base", name)
		}
	}
}

// checkAccounts: every tensor is in one edit, or PEFT's merge does not read it.
func checkAccounts(t *testing.T, r *transform.Recipe, dir string) {
	t.Helper()
	count := make(map[string]int)
	for _, e := range r.Edits {
		for _, k := range e.Keys {
			count[k]++
		}
		if len(e.Keys) != len(e.Transform.Tensors()) {
			t.Errorf("%s.%s: keys %q for %d tensors", e.Module, e.Param, e.Keys, len(e.Transform.Tensors()))
		}
	}
	for _, name := range tensorNames(t, filepath.Join(dir, weightsName)) {
		want, got := 1, count[name]
		for _, unread := range []string{"original_module", "lora_velora_", "lora_monteclora_"} {
			if strings.Contains(name, unread) {
				want = 0
			}
		}
		if want == 1 && strings.Contains(name, ".modules_to_save.") {
			got += count[strings.Replace(name, ".modules_to_save", "", 1)]
		} else if want == 1 {
			copied := name[:strings.LastIndexByte(name, '.')] + ".modules_to_save" + name[strings.LastIndexByte(name, '.'):]
			got += count[copied]
		}
		if got != want {
			t.Errorf("%s is in %d edits, want %d", name, got, want)
		}
	}
}

// describe renders a recipe for comparison.
func describe(r *transform.Recipe) []string {
	var out []string
	for _, e := range r.Edits {
		s := fmt.Sprintf("%s.%s %s", e.Module, e.Param, e.Transform.Describe().Type)
		switch x := e.Transform.(type) {
		case transform.LowRank:
			s += fmt.Sprintf(" %v %.4g", x.Layer, x.Scale)
		case transform.DoRA:
			s += fmt.Sprintf(" %v %.4g", x.Layer, x.Scale)
		case transform.AddBias:
			s += fmt.Sprintf(" %.4g", x.Scale)
		case transform.ReplaceRows:
			s += fmt.Sprint(" ", x.Indices)
		}
		if e.Scope == transform.Shared {
			s += " shared"
		}
		if e.Adds {
			s += " adds"
		}
		out = append(out, s)
	}
	return out
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func only(list []string, part string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !strings.Contains(s, part) })
}

func without(list []string, part string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return strings.Contains(s, part) })
}

func TestSavedKinds(t *testing.T) {
	got := describe(openSaved(t, "kinds"))
	slices.Sort(got)
	same(t, got, []string{
		"attn.in_proj_weight lora attention in_proj 2.5",
		"attn.out_proj.weight lora attention out_proj 2.5",
		"conv1.weight lora conv 2.5", "conv2.weight lora conv 2.5", "conv3.weight lora conv 2.5",
		"emb.weight lora embedding 2.5", "lin.weight lora linear 2.5", "point.weight lora conv 2.5",
	})
	got = describe(openSaved(t, "kinds_dora"))
	if n := len(only(got, " dora ")); n != 6 || len(got) != 6 {
		t.Errorf("dora: %q", got)
	}
}

func TestSavedBiases(t *testing.T) {
	got := describe(openSaved(t, "kinds_bias"))
	want := []string{"attn.out_proj", "conv1", "conv2", "conv3", "lin", "norm", "point"}
	for i, m := range want {
		want[i] = m + ".bias replace shared"
	}
	first := slices.Clone(got[:len(want)])
	slices.Sort(first)
	same(t, first, want)
	if n := len(only(got, "bias")); n != len(want) {
		t.Errorf("%d biases", n)
	}
	got = describe(openSaved(t, "lora_bias"))
	same(t, got[2:], []string{"conv2.bias bias 4", "lin.bias bias 4"})
}

func TestSavedEmbeddings(t *testing.T) {
	for name, want := range map[string][]string{
		"embeddings": {
			"lm_head.weight replace shared", "model.embed_tokens.weight replace shared",
			"lm_head.weight lora linear 4", "model.embed_tokens.weight lora embedding 4"},
		"resized":       {"lm_head.weight replace shared", "model.embed_tokens.weight replace shared"},
		"resized_saved": {"lm_head.weight replace adds", "model.embed_tokens.weight replace adds"},
		"resized_tokens": {"lm_head.weight replace shared", "model.embed_tokens.weight replace shared",
			"model.embed_tokens.weight rows [24 25 26] shared"},
		"tokens":           {"model.embed_tokens.weight rows [3 1] shared"},
		"tokens_tied":      {"model.embed_tokens.weight rows [3 1] shared"},
		"tokens_apart":     {"lm_head.weight rows [4]", "model.embed_tokens.weight rows [3 1]"},
		"tied_saved":       {"lm_head.weight replace shared", "model.embed_tokens.weight replace shared adds"},
		"tied_plain_saved": {"lm_head.weight replace adds", "model.embed_tokens.weight replace adds"},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, without(describe(openSaved(t, name)), "layers."), want)
		})
	}
}

func TestSavedClassifier(t *testing.T) {
	r := openSaved(t, "classifier")
	same(t, only(describe(r), "classifier"), []string{"classifier.bias replace adds", "classifier.weight replace adds"})
	if r.TaskType != "SEQ_CLS" || r.AutoClass != "" || r.Type != "LORA" {
		t.Errorf("%+v", r)
	}
	same(t, only(describe(openSaved(t, "bias_all_saved")), "classifier"), []string{"classifier.bias replace adds", "classifier.weight replace adds"})
}

func TestSavedRecipes(t *testing.T) {
	r := openSaved(t, "replication")
	if want := [][2]int{{0, 2}, {1, 2}}; !slices.Equal(r.Replication, want) {
		t.Errorf("replication %v", r.Replication)
	}
	if !openSaved(t, "tied_embed").TieWeights || openSaved(t, "embeddings").TieWeights {
		t.Error("TieWeights")
	}
	if r := openSaved(t, "gaussian"); r.AutoClass != "LlamaForCausalLM" {
		t.Errorf("class %q", r.AutoClass)
	}
	for name, mica := range map[string]bool{"mica": true, "velora": false} {
		if low, _ := lowRankOf(openSaved(t, name).Edits[0].Transform); low.MiCA != mica {
			t.Errorf("%s: MiCA %v", name, low.MiCA)
		}
	}
	low, _ := lowRankOf(openSaved(t, "rslora").Edits[0].Transform)
	if low.Scale != 3/math.Sqrt2 {
		t.Errorf("scale %g", low.Scale)
	}
}
