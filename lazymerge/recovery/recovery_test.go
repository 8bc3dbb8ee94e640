package recovery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/recovery"
	"lorafs/safetensors"
)

const checkpoints = "../checkpoint/testdata"

// special are the cases that need an option, or that hold no adapter.
var special = map[string]recovery.Options{
	"plain-sharded":      {Alpha: "6"},
	"plain-two-adapters": {Adapter: "policy"},
}

var refused = []string{"fsdp1-local", "fsdp2-ranks", "fsdp1-full-adapter"}

func cases(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(checkpoints + "/*/checkpoint-2")
	if err != nil || len(found) < 20 {
		t.Fatalf("%d checkpoints, %v", len(found), err)
	}
	var names []string
	for _, f := range found {
		if name := filepath.Base(filepath.Dir(f)); !slices.Contains(refused, name) {
			names = append(names, name)
		}
	}
	return names
}

func rebuild(t *testing.T, name string, o recovery.Options) (string, *recovery.Result) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "adapter")
	r, err := recovery.Adapter(t.Context(), filepath.Join(checkpoints, name, "checkpoint-2"), out, o, recovery.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	return out, r
}

func bytesOf(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := make(map[string][]byte)
	for _, x := range f.Tensors() {
		b, err := x.Slice(0, x.Size())
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(x.Info)
		all[x.Name] = append(text, b...)
	}
	return all
}

func sameFile(t *testing.T, got, want string) {
	t.Helper()
	a, b := bytesOf(t, got), bytesOf(t, want)
	if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
		t.Errorf("%s holds %v, want %v", got, slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	}
	for name := range b {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs in %s", got, name)
		}
	}
}

// TestAdapters holds every adapter against what PEFT names and DeepSpeed's own script
// gathers, bit for bit.
func TestAdapters(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			out, r := rebuild(t, name, special[name])
			sameFile(t, filepath.Join(out, "adapter_model.safetensors"), filepath.Join(checkpoints, name, "adapter.safetensors"))
			if len(r.Left) > 0 || r.Tensors == 0 {
				t.Errorf("%+v", r)
			}
			if r.Config != "" {
				want, err := os.ReadFile(r.Config)
				got, err2 := os.ReadFile(filepath.Join(out, "adapter_config.json"))
				if err != nil || err2 != nil || !bytes.Equal(want, got) {
					t.Errorf("the config is not that of %s: %v, %v", r.Config, err, err2)
				}
			}
		})
	}
}

// TestSaved holds the values that the model computed with against those that were live.
// At stage 3 only the optimizer's are saved, of which DeepSpeed's are the rounded ones.
func TestSaved(t *testing.T) {
	for _, name := range cases(t) {
		if !strings.HasPrefix(name, "stage") && !strings.HasPrefix(name, "universal") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			out, _ := rebuild(t, name, recovery.Options{DType: recovery.Saved})
			sameFile(t, filepath.Join(out, "adapter_model.safetensors"), filepath.Join(checkpoints, name, "half.safetensors"))
		})
	}
}

// TestSavedNames takes state dicts in which PEFT has already named the tensors, and those
// in which the model is a part of another.
func TestSavedNames(t *testing.T) {
	for _, name := range cases(t) {
		truth := filepath.Join(checkpoints, name, "adapter.safetensors")
		config := filepath.Join(checkpoints, name, "checkpoint-2/adapter_config.json")
		if _, err := os.Stat(config); err != nil {
			continue
		}
		for _, prefix := range []string{"", "_orig_mod.", "model."} {
			from := filepath.Join(t.TempDir(), "model.safetensors")
			renamed(t, truth, from, prefix)
			out := filepath.Join(t.TempDir(), "adapter")
			if _, err := recovery.Adapter(t.Context(), from, out, recovery.Options{Config: config}, recovery.Hooks{}); err != nil {
				t.Errorf("%s, %q: %v", name, prefix, err)
				continue
			}
			sameFile(t, filepath.Join(out, "adapter_model.safetensors"), truth)
		}
	}
}

// renamed copies a file with a prefix before each name.
func renamed(t *testing.T, from, to, prefix string) {
	t.Helper()
	f, err := safetensors.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var tensors []*safetensors.Tensor
	for _, x := range f.Tensors() {
		b, err := x.Slice(0, x.Size())
		if err != nil {
			t.Fatal(err)
		}
		info := x.Info
		info.Name = prefix + info.Name
		copied, err := safetensors.FromBytes(info, b)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, copied)
	}
	w, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(safetensors.Write(w, nil, tensors), w.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestFull holds the whole model against zero_to_fp32. Stage 1 keeps the frozen
// parameters where the script does not look.
func TestFull(t *testing.T) {
	for _, name := range cases(t) {
		masters := filepath.Join(checkpoints, name, "masters.safetensors")
		if _, err := os.Stat(masters); err != nil || strings.Contains(name, "-adapter") {
			continue
		}
		for _, shard := range []int64{0, 5000} {
			out := filepath.Join(t.TempDir(), "full")
			r, err := recovery.Full(t.Context(), filepath.Join(checkpoints, name, "checkpoint-2"), out, recovery.Options{ShardSize: shard}, recovery.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(out, "*.safetensors"))
			if err != nil || shard == 0 && len(files) != 1 {
				t.Fatal(files, err)
			}
			got := make(map[string][]byte)
			for _, f := range files {
				maps.Copy(got, bytesOf(t, f))
			}
			want := bytesOf(t, masters)
			for k, v := range want {
				if !bytes.Equal(got[k], v) {
					t.Errorf("%s: %s differs", name, k)
				}
			}
			if len(got) != len(want) && !strings.HasPrefix(name, "stage1") || len(got) != r.Tensors {
				t.Errorf("%s has %d tensors, want %d", name, len(got), len(want))
			}
			if len(files) > 1 {
				checkIndex(t, out, got)
			}
		}
	}
}

func checkIndex(t *testing.T, dir string, tensors map[string][]byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "model.safetensors.index.json"))
	if err != nil {
		t.Fatal(err)
	}
	x, err := safetensors.ParseIndex(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(x.WeightMap) != len(tensors) {
		t.Errorf("the index has %d names of %d", len(x.WeightMap), len(tensors))
	}
}

// TestDTypes checks the conversions' headers, and that numbers that are no floats stay.
func TestDTypes(t *testing.T) {
	for dtype, want := range map[recovery.DType]string{recovery.F32: "F32", recovery.BF16: "BF16", recovery.F16: "F16"} {
		_, r := rebuild(t, "stage3-world2-bf16", recovery.Options{DType: dtype})
		if r.DType != want {
			t.Errorf("%d: %s, want %s", dtype, r.DType, want)
		}
	}
	half, _ := rebuild(t, "stage3-world2-bf16", recovery.Options{DType: recovery.BF16})
	sameFile(t, filepath.Join(half, "adapter_model.safetensors"), filepath.Join(checkpoints, "stage3-world2-bf16/half.safetensors"))
}

// TestRebuiltConfig drops the config and compares what is rebuilt with PEFT's.
func TestRebuiltConfig(t *testing.T) {
	for _, name := range []string{"stage1-world2-bf16", "stage2-world3-bf16-groups", "stage3-world11", "fsdp1-sharded", "plain-bin"} {
		t.Run(name, func(t *testing.T) {
			want, err := peft.ReadConfig(filepath.Join(checkpoints, name, "checkpoint-2/adapter_config.json"))
			if err != nil {
				t.Fatal(err)
			}
			dir := withoutConfig(t, name)
			out := filepath.Join(t.TempDir(), "adapter")
			_, err = recovery.Adapter(t.Context(), dir, out, recovery.Options{}, recovery.Hooks{})
			var alpha *recovery.AlphaError
			if !errors.As(err, &alpha) {
				t.Fatalf("without alpha: %v", err)
			}
			r, err := recovery.Adapter(t.Context(), dir, out, recovery.Options{Alpha: "6"}, recovery.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := peft.ReadConfig(filepath.Join(out, "adapter_config.json"))
			if err != nil {
				t.Fatal(err)
			}
			if !r.Rebuilt || got.Rank != want.Rank || got.PeftType != want.PeftType || len(got.ModulesToSave) != len(want.ModulesToSave) {
				t.Errorf("rank %d of %s with %v, want %d of %s with %v", got.Rank, got.PeftType, got.ModulesToSave, want.Rank, want.PeftType, want.ModulesToSave)
			}
			sameFile(t, filepath.Join(out, "adapter_model.safetensors"), filepath.Join(checkpoints, name, "adapter.safetensors"))
		})
	}
}

func withoutConfig(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkpoint-2")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(checkpoints, name, "checkpoint-2"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "adapter_config.json")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestConfigNearby finds the config of the run in another checkpoint of it.
func TestConfigNearby(t *testing.T) {
	dir := withoutConfig(t, "stage2-world2-fp16")
	config, err := os.ReadFile(filepath.Join(checkpoints, "stage2-world2-fp16/checkpoint-2/adapter_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"checkpoint-10", "checkpoint-9", "."} {
		place := filepath.Join(filepath.Dir(dir), at, "adapter_config.json")
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(place, config, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{".", "checkpoint-10", "checkpoint-9"} {
		for _, from := range []string{dir, filepath.Join(dir, "global_step2")} {
			r, err := recovery.Adapter(t.Context(), from, filepath.Join(t.TempDir(), "a"), recovery.Options{}, recovery.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			place := filepath.Join(filepath.Dir(dir), want, "adapter_config.json")
			if r.Config != place {
				t.Errorf("took %s, want %s", r.Config, place)
			}
		}
		if err := os.Remove(filepath.Join(filepath.Dir(dir), want, "adapter_config.json")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingIsLeft checks that what fails leaves no trace, and that nothing there is
// overwritten.
func TestNothingIsLeft(t *testing.T) {
	from := filepath.Join(checkpoints, "stage2-world2-fp16/checkpoint-2")
	stop := errors.New("stop")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, run := range map[string]func(out string) error{
		"a check that fails": func(out string) error {
			_, err := recovery.Adapter(t.Context(), from, out, recovery.Options{}, recovery.Hooks{Check: func(string) error { return stop }})
			return err
		},
		"no room": func(out string) error {
			_, err := recovery.Adapter(t.Context(), from, out, recovery.Options{}, recovery.Hooks{Room: func(int64) error { return stop }})
			return err
		},
		"an interruption": func(out string) error {
			_, err := recovery.Full(canceled, from, out, recovery.Options{}, recovery.Hooks{})
			return err
		},
	} {
		dir := t.TempDir()
		err := run(filepath.Join(dir, "out"))
		if !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s leaves %v", name, left)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := recovery.Adapter(t.Context(), from, dir, recovery.Options{}, recovery.Hooks{}); !errors.Is(err, lazymerge.ErrExists) {
		t.Errorf("%v", err)
	}
}

// TestInputsStay checks that a checkpoint is not written to, also when the adapter is
// put into it.
func TestInputsStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoint-2")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(checkpoints, "stage3-world2-bf16/checkpoint-2"))); err != nil {
		t.Fatal(err)
	}
	before := treeOf(t, dir)
	if _, err := recovery.Adapter(t.Context(), dir, filepath.Join(dir, "recovered"), recovery.Options{}, recovery.Hooks{}); err != nil {
		t.Fatal(err)
	}
	after := treeOf(t, dir)
	for path, text := range before {
		if after[path] != text {
			t.Errorf("%s changed", path)
		}
	}
	if len(after) != len(before)+2 {
		t.Errorf("%d files, had %d", len(after), len(before))
	}
}

func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
