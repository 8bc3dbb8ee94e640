package diagnose

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/adapter/single"
	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

func kindName(k int) string { return safetensors.Kind(k).String() }

// raw is a safetensors file with any header and data.
func raw(header, data string) string {
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(header)))
	return string(length[:]) + header + data
}

const (
	loraConfig = `{"peft_type":"LORA","r":1,"lora_alpha":1}`
	pair       = `"base_model.model.q.lora_A.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},` +
		`"base_model.model.q.lora_B.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]}`
)

var (
	zeros16  = strings.Repeat("\x00", 16)
	goodFile = raw("{"+pair+"}", zeros16)
	zipped   = torchZip(zip.Store, "\x80\x02}.")
)

// torchZip is a zip file of torch.save: a pickle, and records by their names.
func torchZip(method uint16, pickle string, records ...string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := -2; i < len(records); i += 2 {
		name, content := "archive/data.pkl", pickle
		if i >= 0 {
			name, content = records[i], records[i+1]
		}
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = f.Write([]byte(content))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// torchTensor pickles a tensor of two float32 of storage 0, without its key and its name.
const torchTensor = "ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQK\x00K\x02\x85K\x01\x85\x89NtR"

// torchWeights pickles a dict of one value by the name of a tensor of an adapter.
func torchWeights(value string) string {
	return "\x80\x02}X\x20\x00\x00\x00base_model.model.q.lora_A.weight" + value + "s."
}

func openTorch(content string) func(t *testing.T) error {
	return openAdapter(map[string]string{"adapter_config.json": loraConfig, "adapter_model.bin": content})
}

// dirOf writes files and gives their directory.
func dirOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// openWeights opens an adapter with the given weights.
func openWeights(content string) func(t *testing.T) error {
	return openAdapter(map[string]string{"adapter_config.json": loraConfig, "adapter_model.safetensors": content})
}

func openAdapter(files map[string]string) func(t *testing.T) error {
	return func(t *testing.T) error {
		r, err := peft.Open(dirOf(t, files), peft.Options{})
		if err == nil && r.Close != nil {
			return r.Close()
		}
		return err
	}
}

func openConfig(config string) func(t *testing.T) error {
	return openAdapter(map[string]string{"adapter_config.json": config, "adapter_model.safetensors": goodFile})
}

func openBase(files map[string]string, path string) func(t *testing.T) error {
	return func(t *testing.T) error {
		t.Setenv("HF_HUB_CACHE", t.TempDir())
		_, err := modeldir.OpenBase(filepath.Join(dirOf(t, files), path))
		return err
	}
}

func findAdapter(files map[string]string, refs ...string) func(t *testing.T) error {
	return func(t *testing.T) error {
		t.Setenv("HF_HUB_CACHE", t.TempDir())
		t.Chdir(dirOf(t, files))
		_, err := modeldir.FindAdapters(refs)
		return err
	}
}

func given(err error) func(t *testing.T) error { return func(*testing.T) error { return err } }

// cases give, for every code, errors whose only finding has that code. An error
// comes from the code that meets the input wherever a small input brings it about.
var cases = []struct {
	code string
	err  func(t *testing.T) error
}{
	{"adapter-is-base", findAdapter(map[string]string{"b/config.json": "{}", "b/model.safetensors": goodFile}, "b")},
	{"adapter-not-found", findAdapter(map[string]string{"b/x.txt": ""}, "b")},
	{"base-config-broken", openBase(map[string]string{"config.json": "{", "model.safetensors": goodFile}, "")},
	{"experts-mismatch", given(&lazymerge.EditError{Adapter: "a", Err: &transform.ExpertsError{Other: "x", Rows: 3, Experts: 2}})},
	{"experts-orientation", given(&lazymerge.OrientationError{Adapter: "a", Tensor: "t"})},
	{"base-converted-tensor", given(&lazymerge.EditError{Adapter: "a", Err: &resolve.ConvertedError{Module: "m", Param: "weight", Sources: []string{"x"}}})},
	{"base-inconsistent", given(&lazymerge.BaseError{Path: "p", Tensor: "t", Reason: "r"})},
	{"base-is-adapter", openBase(map[string]string{"adapter_config.json": "{}", "adapter_model.safetensors": ""}, "")},
	{"base-no-weights", openBase(map[string]string{"config.json": "{}"}, "")},
	{"base-one-shard", openBase(map[string]string{"model-00001-of-00002.safetensors": ""}, "")},
	{"base-other-format", openBase(map[string]string{"x.gguf": ""}, "")},
	{"base-quantized", given(&lazymerge.QuantizedError{Base: "b", Method: "bitsandbytes"})},
	{"base-several-files", openBase(map[string]string{"a.safetensors": "", "b.safetensors": ""}, "")},
	{"base-unmerged", given(&lazymerge.UnmergedError{Path: "p", Tensor: "m.base_layer.weight"})},
	{"bias-unmatched", given(&lazymerge.UnmatchedError{Tensors: []lazymerge.Unmatched{{Keys: []string{"q.lora_B.bias"}}}})},
	{"base-weights-below", openBase(map[string]string{"x/model.safetensors": ""}, "")},
	{"checkpoint-no-adapter", given(&modeldir.UnhealthyError{Path: "p", Fault: modeldir.NoAdapter})},
	{"checkpoint-several-adapters", given(&modeldir.UnhealthyError{Path: "p", Fault: modeldir.SeveralAdapters})},
	{"component-missing", given(&lazymerge.UnmatchedError{Tensors: []lazymerge.Unmatched{{Keys: []string{"lora_te_x.lora_up.weight"}, Part: "te", Lacks: true}}})},
	{"config-broken", openConfig("{")},
	{"config-broken", openConfig("")},
	{"config-field", openConfig(`{"peft_type":"LORA","r":"many"}`)},
	{"config-missing", openAdapter(map[string]string{"adapter_model.safetensors": goodFile})},
	{"convolution-grouped", openWeights(raw(`{"base_model.model.q.lora_A.weight":{"dtype":"F32","shape":[2,2,1],"data_offsets":[0,16]},"base_model.model.q.lora_B.weight":{"dtype":"F32","shape":[2,1,1],"data_offsets":[16,24]}}`, zeros16[:8]+zeros16))},
	{"disk-full", given(fmt.Errorf("export: %w", &fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}))},
	{"dtype-unsupported", given(&transform.DTypeError{Tensor: "t", DType: safetensors.I8})},
	{"dtype-unsupported", given(&safetensors.ConvertError{DType: safetensors.I8})},
	{"error", given(fmt.Errorf("what nobody knows"))},
	{"file-kind", func(t *testing.T) error {
		dir := dirOf(t, nil)
		if err := syscall.Mkfifo(filepath.Join(dir, "model.safetensors"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := modeldir.OpenBase(dir)
		return err
	}},
	{"file-missing", func(t *testing.T) error { _, err := safetensors.Open(filepath.Join(t.TempDir(), "x")); return err }},
	{"file-missing", func(t *testing.T) error {
		dir := dirOf(t, map[string]string{"config.json": "{}"})
		if err := os.Symlink("model.safetensors", filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
		_, err := modeldir.OpenBase(dir)
		return err
	}},
	{"file-unreadable", given(&safetensors.Error{Kind: safetensors.IoError, Path: "p", Err: &fs.PathError{Op: "read", Path: "p", Err: syscall.EIO}})},
	{"file-unreadable", given(&safetensors.Error{Kind: safetensors.IoError, Path: "p"})},
	{"file-unreadable", given(&fs.PathError{Op: "open", Path: "p", Err: syscall.ENOTCONN})},
	{"format-unsupported", openTorch(torchZip(zip.Store, "\x80\x02}.", "archive/constants.pkl", ""))},
	{"index-broken", openBase(map[string]string{"model.safetensors.index.json": "<html>"}, "")},
	{"index-broken", given(&safetensors.IndexError{Detail: "d"})},
	{"index-leaves", openBase(map[string]string{"model.safetensors.index.json": `{"weight_map":{"a":"../x.safetensors"}}`}, "")},
	{"init-changes-base", openConfig(`{"peft_type":"LORA","r":1,"init_lora_weights":"pissa_niter_4"}`)},
	{"input-changed", given(&lazymerge.InputChangedError{Path: "p", Err: &safetensors.ChangedError{Path: "p"}})},
	{"input-changed", given(&safetensors.ChangedError{Path: "p"})},
	{"interrupted", given(fmt.Errorf("open: %w", context.Canceled))},
	{"draw-impossible", given(&transform.JointError{Transform: "tinylora", Reason: "r", Err: &resolve.OrderError{Module: "m"}})},
	{"draw-impossible", given(&resolve.OrderError{Module: "m"})},
	{"layer-unsupported", given(&transform.LayerError{Tensor: "t", Transform: "dora"})},
	{"layers-replicated-wrongly", given(&lazymerge.ReplicationError{Adapter: "a", Reason: "r"})},
	{"limit", openBase(map[string]string{"model.safetensors": "", strings.Repeat("d/", 20) + "x": ""}, "")},
	{"link-leaves", func(t *testing.T) error {
		dir := dirOf(t, nil)
		if err := os.Symlink("/dev/null", filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
		_, err := modeldir.OpenBase(dir)
		return err
	}},
	{"metadata-field", given(&single.MetadataError{File: "f", Reason: "r"})},
	{"name-collision", findAdapter(map[string]string{"a/adapter_config.json": "", "b/a/adapter_config.json": ""}, "a", "b/a")},
	{"name-invalid", findAdapter(map[string]string{"a/adapter_config.json": ""}, ".x=a")},
	{"name-invalid", findAdapter(map[string]string{"a/adapter_config.json": ""}, "x/y=a")},
	{"not-found", findAdapter(nil, "org/missing")},
	{"not-found", findAdapter(nil, "runs/lr=1/missing")},
	{"not-found", openBase(nil, "missing")},
	{"output-denied", given(fmt.Errorf("export: %w", &fs.PathError{Op: "mkdir", Path: "d/p", Err: syscall.EACCES}))},
	{"output-denied", given(&fs.PathError{Op: "mkdir", Path: "d/p", Err: syscall.EROFS})},
	{"output-in-input", given(fmt.Errorf("export: %w", &lazymerge.OutputError{Path: "b", Input: "b"}))},
	{"output-exists", given(fmt.Errorf("export: %w", lazymerge.ErrExists))},
	{"overflow", given(&transform.OverflowError{Tensor: "t", DType: safetensors.F16})},
	{"permission-denied", given(&fs.PathError{Op: "open", Path: "p", Err: syscall.EACCES})},
	{"pipeline-ambiguous", given(&lazymerge.PartError{Base: "p", Parts: [2]string{"unet", "vae"}})},
	{"rank-mismatch", openConfig(`{"peft_type":"LORA","r":4,"lora_alpha":1}`)},
	{"revision-missing", func(t *testing.T) error {
		cache := dirOf(t, map[string]string{"models--org--m/refs/main": "cafe", "models--org--m/snapshots/cafe/x": ""})
		t.Setenv("HF_HUB_CACHE", cache)
		_, err := modeldir.OpenBase("org/m@v2")
		return err
	}},
	{"row-out-of-range", given(&transform.IndexError{Tensor: "t", Index: 9, Rows: 2})},
	{"shape-mismatch", given(&lazymerge.EditError{Adapter: "a", Err: &transform.ShapeError{Tensor: "t"}})},
	{"shards-missing", openBase(map[string]string{"model.safetensors.index.json": `{"weight_map":{"a":"x.safetensors"}}`}, "")},
	{"stack-combine", given(&lazymerge.CombineError{Type: "ties", Reason: "r"})},
	{"stack-combine", given(&lazymerge.EditError{Adapter: "a", Err: &transform.RankMixError{Tensor: "t"}})},
	{"stack-combine", given(&lazymerge.EditError{Adapter: "a", Err: &transform.DecompositionError{Tensor: "t"}})},
	{"stack-combine", given(&lazymerge.EditError{Adapter: "a", Err: &transform.SumError{Tensor: "t"}})},
	{"stack-conflict", given(&lazymerge.StackConflictError{Adapters: [2]string{"a", "b"}, Tensor: "t"})},
	{"stack-invalid", findAdapter(map[string]string{"a/adapter_config.json": "", "b/adapter_config.json": ""}, "a@x+b")},
	{"stack-weight", given(&modeldir.StackPartError{Part: "a", Err: &lazymerge.EditError{Adapter: "a", Err: &transform.WeightError{Tensor: "t"}}})},
	{"tensor-ambiguous", given(&lazymerge.UnmatchedError{Tensors: []lazymerge.Unmatched{{Keys: []string{"k"}, Ambiguous: []string{"x", "y"}}}})},
	{"tensor-ambiguous", given(&resolve.AmbiguousError{Module: "m", Param: "weight"})},
	{"tensor-collision", given(&lazymerge.CollisionError{Adapter: "a", Tensor: "t"})},
	{"tensor-counterpart-missing", openWeights(raw(`{"base_model.model.q.lora_A.weight":{"dtype":"F32","shape":[1,4],"data_offsets":[0,16]}}`, zeros16))},
	{"tensor-duplicate", given(&peft.DuplicateTensorError{File: "f"})},
	{"tensor-like-missing", given(&peft.MissingTensorError{File: "f", Module: "m.1", Want: "alpha", Like: "m.0.alpha"})},
	{"tensor-lost", given(&lazymerge.LostError{Adapter: "f", Modules: []lazymerge.Lost{{Module: "m", Tensors: []string{"m.lora_A.weight"}}}})},
	{"tensor-nonfinite", openWeights(raw("{"+pair+"}", strings.Repeat("\xff", 16)))},
	{"tensor-unknown", openWeights(raw(`{`+pair+`,"base_model.model.q.lora_Q.weight":{"dtype":"F32","shape":[4],"data_offsets":[16,32]}}`, zeros16+zeros16))},
	{"tensors-contradict", openWeights(raw(strings.Replace("{"+pair+"}", "[2,1]", "[1,2]", 1), zeros16))},
	{"tensor-value", given(&single.ValueError{File: "f", Tensor: "t", Reason: "r"})},
	{"tensor-unmatched", given(&lazymerge.UnmatchedError{Tensors: []lazymerge.Unmatched{{Keys: []string{"k"}}}})},
	{"tensor-unmatched", given(&resolve.NotFoundError{Module: "m", Param: "weight"})},
	{"type-never", openConfig(`{"peft_type":"PROMPT_TUNING"}`)},
	{"type-unsupported", given(&peft.UnsupportedError{Path: "p", Type: "FUTURE", Reason: "r"})},
	{"weights-bad-tensor", openWeights(raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "1234"))},
	{"weights-duplicate-name", openWeights(raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "12"))},
	{"weights-empty", openWeights(raw(`{"__metadata__":{"format":"pt"}}`, ""))},
	{"weights-error-page", openWeights("<!DOCTYPE html><html><head><title>401</title></head></html>")},
	{"weights-error-page", openWeights(`{"error":"Repository not found"}`)},
	{"weights-error-page", openWeights("Entry not found")},
	{"weights-error-page", openWeights(strings.Repeat("é", 40))},
	{"weights-flat", openWeights(raw(strings.NewReplacer("[1,2]", "[2]", "[2,1]", "[2]").Replace("{"+pair+"}"), zeros16))},
	{"weights-header-broken", openWeights(raw(`{"a":{"dtype":"X9","shape":[],"data_offsets":[0,0]}}`, ""))},
	{"weights-header-not-utf8", openWeights(raw("{\xff\xff}", ""))},
	{"weights-header-past-end", openWeights(raw("{"+pair+"}", "")[:100])},
	{"weights-header-too-large", openWeights("\x00\x00\x00\x00\x00\x00\x00\x7f{}")},
	{"weights-holes", openWeights(raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "12"))},
	{"weights-overlap", openWeights(raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, "123"))},
	{"weights-whole-model", openWeights(raw(`{"model.q.weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, zeros16))},
	{"weights-whole-model", openAdapter(map[string]string{"adapter_config.json": loraConfig, "model.safetensors": goodFile})},
	{"weights-lfs-pointer", openWeights("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n")},
	{"weights-missing", openAdapter(map[string]string{"adapter_config.json": loraConfig})},
	{"weights-old-empty", openWeights(raw(`{},"__metadata__":{"format":"pt"}}      `, ""))},
	{"weights-other-format", openWeights("GGUF" + zeros16)},
	{"weights-pickle", openWeights(zipped)},
	{"weights-pickle", openWeights("\x80\x02}q\x00(X\x01\x00\x00\x00aq")},
	{"weights-placeholders", openWeights(raw(`{"base_model.model.q.lora_A.weight":{"dtype":"BF16","shape":[0],"data_offsets":[0,0]},"base_model.model.q.lora_B.weight":{"dtype":"BF16","shape":[0],"data_offsets":[0,0]}}`, ""))},
	{"weights-several-adapters", openWeights(raw("{"+strings.ReplaceAll(pair, ".weight", ".one.weight")+","+
		strings.NewReplacer(".weight", ".two.weight", "[0,8]", "[16,24]", "[8,16]", "[24,32]").Replace(pair)+"}", zeros16+zeros16))},
	{"weights-too-short", openWeights("\x20\x00\x00")},
	{"weights-torch-broken", openTorch(torchZip(zip.Store, torchWeights(torchTensor)))},
	{"weights-torch-broken", openTorch("\x80\x02}q\x00.")},
	{"weights-torch-damaged", openTorch(strings.Replace(torchZip(zip.Store, torchWeights("K\x05")), "K\x05", "K\x06", 1))},
	{"weights-torch-empty", openTorch(zipped)},
	{"weights-torch-objects", openTorch(torchZip(zip.Store, torchWeights("K\x05")))},
	{"weights-torch-packed", openTorch(torchZip(zip.Deflate, "\x80\x02}."))},
	{"weights-torch-refused", openTorch(torchZip(zip.Store, "\x80\x02}"+"h\x09."))},
	{"weights-torch-refused", openTorch(torchZip(zip.Store, "\x80\x02}.", "../data.pkl", ""))},
	{"weights-torch-refused", given(&pickle.Error{Reason: "r"})},
	{"weights-truncated", openTorch(zipped[:len(zipped)-30])},
	{"weights-error-page", openTorch("<!DOCTYPE html><html><head><title>401</title></head></html>")},
	{"weights-trailing", openWeights(goodFile + "more")},
	{"weights-truncated", openWeights(goodFile[:len(goodFile)-3])},
	{"weights-zero-bytes", openWeights("")},
	{"weights-zero-filled", openWeights(strings.Repeat("\x00", 500))},
	{"write-refused", func(t *testing.T) error {
		_, err := safetensors.Build([]safetensors.Info{{Name: "\xff", DType: safetensors.U8}}, nil)
		return err
	}},
}

func TestCases(t *testing.T) {
	seen := make(map[string]bool)
	for i, c := range cases {
		seen[c.code] = true
		t.Run(fmt.Sprintf("%s %d", c.code, i), func(t *testing.T) {
			err := c.err(t)
			if err == nil {
				t.Fatal("no error")
			}
			found := Explain(fmt.Errorf("outer: %w", err))
			if len(found) != 1 || found[0].Code != c.code {
				t.Fatalf("%v\ngives %+v", err, found)
			}
			f := found[0]
			if f.Message == "" || c.code != "error" && (f.Cause == "" || f.Fix == "") {
				t.Errorf("incomplete: %+v", f)
			}
			if p := placeholder.FindString(f.Cause + f.Fix); p != "" {
				t.Errorf("%s was not filled", p)
			}
		})
	}
	for _, concern := range transform.Concerns() {
		found := Warnings("f", []transform.Warning{{Concern: concern, Tensor: "t", Text: "m"}})
		if len(found) != 1 || found[0].Severity != Warning || found[0].File != "f" || found[0].Tensor != "t" || found[0].Message != "m" {
			t.Errorf("concern %d gives %+v", concern, found)
			continue
		}
		seen[found[0].Code] = true
	}
	for _, c := range trainingCases {
		seen[c.code] = true
	}
	for _, c := range codes {
		if !seen[c.name] {
			t.Errorf("%s has no case", c.name)
		}
	}
}

// TestHealthyTwin checks that the cases' inputs are broken in what their code says
// and in nothing else.
func TestHealthyTwin(t *testing.T) {
	if err := openWeights(goodFile)(t); err != nil {
		t.Error(err)
	}
	if err := openBase(map[string]string{"config.json": "{}", "model.safetensors": goodFile}, "")(t); err != nil {
		t.Error(err)
	}
	if found := Explain(nil); found != nil {
		t.Errorf("nil gives %+v", found)
	}
}
