package lazymerge_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge"
	"lorafs/lazymerge/diagnose"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

const queryWeight = "bert.encoder.layer.0.attention.self.query.weight"

// stacked writes the base maskedBert and adapters a, b… beside it, and returns their
// paths.
func stacked(t *testing.T, adapters ...fakeAdapter) (base string, dirs []string) {
	t.Helper()
	dir := t.TempDir()
	base = filepath.Join(dir, "base")
	writeText(t, filepath.Join(base, "config.json"), maskedBert)
	writeWeights(t, filepath.Join(base, "model.safetensors"), maskedBertTensors)
	for i, a := range adapters {
		to := filepath.Join(dir, string(rune('a'+i)))
		kind := a.kind
		if kind == "" {
			kind = `"LORA", "r": 1, "lora_alpha": 1`
		}
		writeText(t, filepath.Join(to, "adapter_config.json"), `{"peft_type": `+kind+a.fields+`}`)
		writeWeights(t, filepath.Join(to, "adapter_model.safetensors"), a.tensors)
		dirs = append(dirs, to)
	}
	return base, dirs
}

type fakeAdapter struct {
	kind, fields string
	tensors      []tensor
}

// adding adds the value to every element of a weight of 4 inputs.
func adding(module string, outputs int64, value float32) []tensor {
	name := "base_model.model." + module
	return []tensor{ones(name+".lora_A.weight", 1, 4), {name + ".lora_B.weight", value, []int64{outputs, 1}}}
}

const query = "bert.encoder.layer.0.attention.self.query"

// stackValue merges a stack and returns an element of a tensor.
func stackValue(t *testing.T, base, ref, name string, opt lazymerge.Options) float32 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "merged.safetensors")
	writeText(t, path, string(readAll(t, openPair(t, base, ref, opt), "model.safetensors")))
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return valueAt(t, f, name, 5)
}

func TestStackAddsUp(t *testing.T) {
	base, d := stacked(t, fakeAdapter{tensors: adding(query, 4, 2)}, fakeAdapter{tensors: adding(query, 4, 8)},
		fakeAdapter{kind: `"IA3", "target_modules": ["query"], "feedforward_modules": []`, tensors: []tensor{{"base_model.model." + query + ".ia3_l", 3, []int64{4, 1}}}})
	for _, c := range []struct {
		ref  string
		want float32
	}{
		{d[0] + "+" + d[1], 1 + 2 + 8},
		{d[0] + "@0.5+" + d[1] + "@-1", 1 + 1 - 8},
		{d[0] + "+" + d[0] + "+" + d[0] + "@0.25", 1 + 4.5},
		{d[0] + "@0", 1},
		{d[0] + "+" + d[2], (1 + 2) * 3},
		{d[2] + "+" + d[0], 1*3 + 2},
		{d[0] + "+" + d[2] + "+" + d[1], (1+2)*3 + 8},
	} {
		for _, sequential := range []bool{false, true} {
			if got := stackValue(t, base, c.ref, queryWeight, lazymerge.Options{Sequential: sequential}); got != c.want {
				t.Errorf("%s, sequential %v: %v, want %v", c.ref, sequential, got, c.want)
			}
		}
	}
}

// What is refused names the adapter that is to blame, in the error and in its diagnosis.
func TestStackRefusals(t *testing.T) {
	saved := func(value float32) fakeAdapter {
		return fakeAdapter{fields: `, "modules_to_save": ["transform"]`, tensors: append(adding(query, 4, 1),
			tensor{"base_model.model.cls.predictions.transform.dense.weight", value, []int64{4, 4}})}
	}
	dora := fakeAdapter{fields: `, "use_dora": true`, tensors: append(adding(query, 4, 1), ones("base_model.model."+query+".lora_magnitude_vector", 4))}
	wide := fakeAdapter{kind: `"LORA", "r": 2, "lora_alpha": 2`, tensors: []tensor{ones("base_model.model."+query+".lora_A.weight", 2, 4), ones("base_model.model."+query+".lora_B.weight", 4, 2)}}
	plain := fakeAdapter{tensors: adding(query, 4, 1)}
	lost := fakeAdapter{tensors: adding("nowhere.at.all", 4, 1)}
	misfit := fakeAdapter{tensors: adding(query, 5, 1)}
	scaling := fakeAdapter{kind: `"IA3", "target_modules": ["query"], "feedforward_modules": []`, tensors: []tensor{{"base_model.model." + query + ".ia3_l", 3, []int64{4, 1}}}}
	copied := fakeAdapter{fields: `, "layer_replication": [[0, 1], [0, 1]]`, tensors: adding(query, 4, 1)}
	broken := fakeAdapter{kind: `"NO_SUCH"`, tensors: adding(query, 4, 1)}
	linear, ties := &lazymerge.Combine{Type: "linear"}, &lazymerge.Combine{Type: "ties", Density: 0.5}
	for name, c := range map[string]struct {
		adapters []fakeAdapter
		weights  string
		combine  *lazymerge.Combine
		code     string
		names    string // adapters that the error names
	}{
		"saved twice":        {[]fakeAdapter{saved(3), saved(4)}, "", nil, "stack-conflict", "ab"},
		"a weight of copies": {[]fakeAdapter{plain, saved(3)}, "@0.5", nil, "stack-weight", "b"},
		"a weight of DoRA":   {[]fakeAdapter{plain, dora}, "@2", nil, "stack-weight", "b"},
		"a weight of IA3":    {[]fakeAdapter{plain, scaling}, "@2", nil, "stack-weight", "b"},
		"other layers":       {[]fakeAdapter{plain, copied}, "", nil, "stack-conflict", "ab"},
		"unmatched":          {[]fakeAdapter{plain, lost}, "", nil, "tensor-unmatched", "b"},
		"misfit":             {[]fakeAdapter{plain, misfit}, "", nil, "shape-mismatch", "b"},
		"broken":             {[]fakeAdapter{plain, broken}, "", nil, "", "b"},
		"ranks":              {[]fakeAdapter{plain, wide}, "", linear, "stack-combine", "ab"},
		"combined DoRA":      {[]fakeAdapter{plain, dora}, "", linear, "stack-combine", "b"},
		"combined copies":    {[]fakeAdapter{plain, saved(3)}, "", linear, "stack-combine", "b"},
		"combined types":     {[]fakeAdapter{plain, scaling}, "", linear, "stack-combine", "b"},
		"IA3 by ties":        {[]fakeAdapter{scaling, scaling}, "", ties, "stack-combine", "a"},
	} {
		base, d := stacked(t, c.adapters...)
		err := openStackError(t, base, d[0]+"+"+d[1]+c.weights, lazymerge.Options{Combine: c.combine})
		found := diagnose.Explain(err)
		if len(found) != 1 || c.code != "" && found[0].Code != c.code {
			t.Errorf("%s: %v: %+v", name, err, found)
			continue
		}
		text := found[0].File + " " + found[0].Message
		for i, dir := range d {
			if want := strings.ContainsRune(c.names, rune('a'+i)); want && !strings.Contains(text, dir) || !want && strings.Contains(found[0].File, dir) {
				t.Errorf("%s: the diagnosis names the wrong adapter: %s", name, text)
			}
		}
	}
}

func openStackError(t *testing.T, base, ref string, opt lazymerge.Options) error {
	t.Helper()
	m, err := tryRef(t, base, ref, opt)
	if err == nil {
		t.Errorf("%s: opened", ref)
		m.Close()
	}
	return err
}

// Copies that agree, and copies of one adapter, are no conflict.
func TestStackOfEqualCopies(t *testing.T) {
	const module = "cls.predictions.transform.dense"
	copied := fakeAdapter{fields: `, "modules_to_save": ["transform"]`, tensors: append(adding(query, 4, 1), tensor{"base_model.model." + module + ".weight", 7, []int64{4, 4}})}
	base, d := stacked(t, copied, copied, fakeAdapter{tensors: adding(module, 4, 2)})
	for ref, want := range map[string]float32{
		d[0] + "+" + d[1]: 7, d[0] + "+" + d[0]: 7, d[0] + "+" + d[2]: 9, d[0] + "+" + d[2] + "+" + d[1]: 7,
	} {
		if got := stackValue(t, base, ref, module+".weight", lazymerge.Options{}); got != want {
			t.Errorf("%s: %v, want %v", ref, got, want)
		}
	}
	m := openPair(t, base, d[2]+"+"+d[0], lazymerge.Options{})
	if !slices.ContainsFunc(m.Report().Warnings, func(w transform.Warning) bool { return strings.Contains(w.Text, "is lost") }) {
		t.Errorf("a delta that a copy replaces: %q", m.Report().Warnings)
	}
}

// PEFT saves an embedding whole beside what it trained of it. That is no replacement, and
// keeps nobody from weighing.
func TestStackOfBaseCopies(t *testing.T) {
	const words = "bert.embeddings.word_embeddings"
	saving := func(value, stored float32) fakeAdapter {
		name := "base_model.model." + words
		return fakeAdapter{fields: `, "target_modules": ["word_embeddings"]`, tensors: []tensor{
			ones(name+".lora_embedding_A", 1, 6), {name + ".lora_embedding_B", value, []int64{4, 1}}, {name + ".base_layer.weight", stored, []int64{6, 4}}}}
	}
	base, d := stacked(t, saving(2, 1), saving(4, 1), saving(8, 3))
	for ref, want := range map[string]float32{
		d[0] + "+" + d[1]: 1 + 2 + 4, d[1] + "+" + d[0]: 1 + 2 + 4, d[0] + "@0.5+" + d[1]: 1 + 1 + 4, d[1] + "@0.5": 1 + 2, d[0] + "+" + d[2]: 3 + 8,
	} {
		if got := stackValue(t, base, ref, words+".weight", lazymerge.Options{}); got != want {
			t.Errorf("%s: %v, want %v", ref, got, want)
		}
	}
	if got := stackValue(t, base, d[0]+"@0.5+"+d[1], words+".weight", lazymerge.Options{Combine: &lazymerge.Combine{Type: "cat"}}); got != 1+1+4 {
		t.Errorf("cat: %v", got)
	}
}

// An adapter of a tied head parts it from the embedding, whatever the others edit.
func TestStackOnTiedModules(t *testing.T) {
	const head, words = "cls.predictions.decoder", "bert.embeddings.word_embeddings"
	embedding := []tensor{ones("base_model.model."+words+".lora_embedding_A", 1, 6), {"base_model.model." + words + ".lora_embedding_B", 16, []int64{4, 1}}}
	base, d := stacked(t, fakeAdapter{tensors: adding(head, 6, 2)}, fakeAdapter{tensors: embedding}, fakeAdapter{fields: `, "ensure_weight_tying": true, "target_modules": ["lm_head"]`, tensors: embedding})
	for _, c := range []struct {
		ref         string
		head, words float32
	}{
		{d[0] + "+" + d[1], 1 + 2, 1 + 16},
		{d[0] + "@0.5+" + d[0], 1 + 3, 1},
		{d[0] + "+" + d[2], 1 + 2 + 16, 1 + 16},
		{d[2] + "+" + d[1] + "+" + d[0], 1 + 16 + 2, 1 + 32},
	} {
		gotHead, gotWords := stackValue(t, base, c.ref, head+".weight", lazymerge.Options{}), stackValue(t, base, c.ref, words+".weight", lazymerge.Options{})
		if gotHead != c.head || gotWords != c.words {
			t.Errorf("%s: head %v, words %v, want %v, %v", c.ref, gotHead, gotWords, c.head, c.words)
		}
	}
}

func TestStackReport(t *testing.T) {
	base, d := stacked(t, fakeAdapter{tensors: adding(query, 4, 2)}, fakeAdapter{tensors: adding("cls.predictions.transform.dense", 4, 8)})
	m := openPair(t, base, d[0]+"@0.5+"+d[1]+"+"+d[0], lazymerge.Options{})
	r := m.Report()
	want := []lazymerge.Layer{
		{Adapter: d[0], Weight: 0.5, Type: "LORA", Merged: 1, Ranks: [2]int{1, 1}},
		{Adapter: d[1], Weight: 1, Type: "LORA", Merged: 1, Ranks: [2]int{1, 1}},
		{Adapter: d[0], Weight: 1, Type: "LORA", Merged: 1, Ranks: [2]int{1, 1}},
	}
	if !slices.Equal(r.Stack, want) || r.Merged != 2 || len(r.Edits) != 3 || r.Combined != "sum" || r.Rounding != transform.Once.String() {
		t.Errorf("%+v", r)
	}
	text, err := r.Text()
	if err != nil || !strings.Contains(string(text), fmt.Sprintf("0.5  %s  LORA, 1 tensors, rank 1", d[0])) {
		t.Errorf("%s, %v", text, err)
	}
	for _, c := range r.Edits {
		if c.Adapter == "" || c.Tensor == queryWeight && c.Adapter != d[0] {
			t.Errorf("%+v", c)
		}
	}
}

func TestCombineOptions(t *testing.T) {
	for _, c := range []lazymerge.Combine{{}, {Type: "nonsense"}, {Type: "ties", Density: -1}, {Type: "ties", Density: 2}, {Type: "dare_ties"}} {
		if c.Check() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	for _, name := range lazymerge.CombineTypes() {
		if err := (lazymerge.Combine{Type: name, Density: 0.5}).Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file of the second adapter that changes is noticed as that of the first.
func TestStackNoticesChanges(t *testing.T) {
	base, d := stacked(t, fakeAdapter{tensors: adding(query, 4, 2)}, fakeAdapter{tensors: adding(query, 4, 8)})
	m := openPair(t, base, d[0]+"+"+d[1], lazymerge.Options{})
	writeWeights(t, filepath.Join(d[1], "adapter_model.safetensors"), adding(query, 4, 5))
	f, err := m.OpenFile("model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var changed *lazymerge.InputChangedError
	if _, err := f.ReadAt(context.Background(), make([]byte, f.Size()), 0); !errors.As(err, &changed) {
		t.Errorf("%v", err)
	}
}
