package peft

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// ours tells whether an error is one of the types that callers know.
func ours(err error) bool {
	for _, target := range []any{
		new(*ConfigError), new(*FieldError), new(*UnsupportedError), new(*NoWeightsError), new(*UnknownTensorsError),
		new(*MissingTensorError), new(*DuplicateTensorError), new(*EmptyError), new(*WholeModelError), new(*NonFiniteError),
		new(*RankError), new(*ModuleError), new(*FlatError),
		new(*safetensors.Error), new(*fs.PathError),
	} {
		if errors.As(err, target) {
			return true
		}
	}
	return false
}

// FuzzReadConfig: what is accepted is JSON of a known type with values in their ranges,
// and reads the same again after its keys were decoded and encoded.
func FuzzReadConfig(f *testing.F) {
	for _, dir := range savedAdapters(f) {
		text, err := os.ReadFile(filepath.Join(dir, configName))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"peft_type":"LORA","rank_pattern":{"a|b":3},"trainable_token_indices":{"e":[1]}}`))
	f.Add([]byte(`{"peft_type":"LORA","lora_alpha":NaN}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := readText(string(text))
		if err != nil {
			if !ours(err) {
				t.Errorf("%T: %v", err, err)
			}
			return
		}
		if !slices.Contains(Types(), c.PeftType) {
			t.Errorf("%+v", c)
		}
		if s, ok := c.own.(*loraSettings); ok {
			if s.Rank.Value <= 0 || math.IsNaN(s.Alpha.Value) || math.IsInf(s.Alpha.Value, 0) {
				t.Errorf("%+v", s)
			}
			for _, p := range s.Rank.Patterns {
				if p.Value <= 0 {
					t.Errorf("rank %d", p.Value)
				}
			}
		}
		var generic map[string]any
		if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), &generic); err != nil || generic["peft_type"] != c.PeftType {
			t.Errorf("accepted %q: %v", text, err)
		}
	})
}

// FuzzOpen: config and header of the file are the input; the data is made to fit.
// Every tensor of an accepted file is accounted for, and no edit is without tensors.
func FuzzOpen(f *testing.F) {
	for _, dir := range savedAdapters(f) {
		config, err := os.ReadFile(filepath.Join(dir, configName))
		if err != nil {
			f.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, weightsName))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(config, data)
	}
	for kind, m := range moduleOf {
		fields := m.fields
		if fields != "" {
			fields = "," + fields
		}
		f.Add([]byte(`{"peft_type":"`+kind+`"`+fields+`}`), weights(f, m.items))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, config, data []byte) {
		put(t, dir, configName, config)
		put(t, dir, weightsName, data)
		r, err := Open(dir, Options{AllowNonFinite: true})
		if err != nil {
			if !ours(err) {
				t.Errorf("%T: %v", err, err)
			}
			return
		}
		defer r.Close()
		checkRecipe(t, r, tensorNames(t, filepath.Join(dir, weightsName)))
		for _, e := range r.Edits {
			applyAnywhere(t, e.Transform)
		}
	})
}

func checkRecipe(t *testing.T, r *transform.Recipe, names []string) {
	t.Helper()
	used := make(map[string]int)
	for _, e := range r.Edits {
		if e.Module == "" || e.Param == "" || len(e.Keys) == 0 || len(e.Keys) != len(e.Transform.Tensors()) {
			t.Errorf("edit %+v", e)
		}
		for i, x := range e.Transform.Tensors() {
			if x.Name != e.Keys[i] {
				t.Errorf("keys %q, tensor %q", e.Keys, x.Name)
			}
			if !e.Optional { // those repeat what another edit does
				used[x.Name]++
			}
		}
		if low, ok := lowRankOf(e.Transform); ok && (low.A.Shape[0] <= 0 || math.IsNaN(low.Scale)) {
			t.Errorf("edit %+v", e)
		}
	}
	for _, name := range names {
		if used[name] > 1 && !everyModules(r.Type, name) {
			t.Errorf("%q is in %d edits", name, used[name])
		}
		if used[name] == 0 && !repeated(r.Type, name, names) {
			t.Errorf("%q is in no edit", name)
		}
	}
}

// repeated tells whether a tensor may be left out: another has its meaning, or PEFT's
// merge does not read it.
func repeated(kind, name string, names []string) bool {
	m, _ := findType(kind)
	k, ok := m.parseKey(name)
	if !ok {
		return false
	}
	if k.role == roleIgnored || strings.HasSuffix(string(k.role), ".zeros") {
		return true
	}
	for _, other := range names {
		o, ok := m.parseKey(other)
		if ok && other != name && o.role == k.role && o.module == k.module && o.param == k.param && o.base == k.base && o.shared == k.shared {
			return true
		}
	}
	return false
}

// everyModules tells whether a tensor is one that modules share.
func everyModules(kind, name string) bool {
	m, _ := findType(kind)
	k, ok := m.parseKey(name)
	return ok && k.shared
}

func zeros(_ context.Context, dst []byte, _, _ int64) error {
	clear(dst)
	return nil
}

// applyAnywhere binds a transform to parameters of all sorts: where it fits, it merges
// all rows.
func applyAnywhere(t *testing.T, x transform.Transform) {
	t.Helper()
	x.Describe()
	for _, shape := range [][]int64{{}, {4}, {3}, {4, 3}, {3, 4}, {4, 4}, {8, 6}, {4, 3, 2}, {5, 2, 3, 1}} {
		for _, d := range []safetensors.DType{safetensors.BF16, safetensors.F32, safetensors.I32} {
			p := transform.Param{Info: safetensors.Info{Name: "w", DType: d, Shape: shape}, Conv1D: d == safetensors.F32, AllowNonFinite: true}
			b, err := x.Bind(p, transform.PEFT)
			if err != nil {
				continue
			}
			packed := make([]byte, b.PackSize())
			pack := b.Pack
			if from, ok := b.(transform.FromBase); ok {
				pack = func(ctx context.Context, dst []byte) error { return from.PackFrom(ctx, dst, zeros) }
			}
			if err := pack(t.Context(), packed); err != nil {
				t.Error(err)
			}
			n, err := p.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			rows := int64(1)
			if len(shape) > 0 {
				rows = shape[0]
			}
			if r, ok := x.(transform.Replace); ok {
				if rows = 1; len(r.Value.Shape) > 0 {
					rows = r.Value.Shape[0]
				}
				if n, err = r.Value.Elements(); err != nil || n > 1<<16 {
					continue
				}
				n *= 8
			}
			if err := b.Rows(t.Context(), make([]byte, n), make([]byte, n), packed, 0, rows); err != nil {
				t.Error(err)
			}
		}
	}
}
