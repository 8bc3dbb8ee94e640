package lazymerge_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// tensor is one of a made-up file; all its values are the same.
type tensor struct {
	name  string
	value float32
	shape []int64
}

func ones(name string, shape ...int64) tensor { return tensor{name, 1, shape} }

func writeWeights(t *testing.T, path string, tensors []tensor) {
	t.Helper()
	var list []*safetensors.Tensor
	for _, x := range tensors {
		info := safetensors.Info{Name: x.name, DType: safetensors.F32, Shape: x.shape}
		n, err := info.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		made, err := safetensors.FromBytes(info, bytes.Repeat(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x.value)), int(n/4)))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, made)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, list); err != nil {
		t.Fatal(err)
	}
	writeText(t, path, b.String())
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// made writes a base and an adapter of rank 1; fields are added to its config.
func made(t *testing.T, config string, base []tensor, fields string, adapter []tensor) (string, string) {
	t.Helper()
	dir := t.TempDir()
	writeText(t, filepath.Join(dir, "base", "config.json"), config)
	writeWeights(t, filepath.Join(dir, "base", "model.safetensors"), base)
	writeText(t, filepath.Join(dir, "adapter", "adapter_config.json"), `{"peft_type": "LORA", "r": 1, "lora_alpha": 1`+fields+`}`)
	writeWeights(t, filepath.Join(dir, "adapter", "adapter_model.safetensors"), adapter)
	return filepath.Join(dir, "base"), filepath.Join(dir, "adapter")
}

func names(t *testing.T, m *lazymerge.Model) []string {
	t.Helper()
	b := readAll(t, m, "model.safetensors")
	h, err := safetensors.ReadHeader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range h.Entries {
		list = append(list, e.Name)
	}
	slices.Sort(list)
	return list
}

const maskedBert = `{"model_type": "bert", "architectures": ["BertForMaskedLM"], "tie_word_embeddings": true}`

var maskedBertTensors = []tensor{
	ones("bert.embeddings.word_embeddings.weight", 6, 4),
	ones("bert.encoder.layer.0.attention.self.query.weight", 4, 4),
	ones("cls.predictions.bias", 6),
	ones("cls.predictions.transform.dense.weight", 4, 4),
}

// One flag in config.json ties all that is tied: when the head gets its own weight,
// its bias is no longer found through the tie.
func TestUntyingReleasesEveryTie(t *testing.T) {
	head := "base_model.model.cls.predictions.decoder."
	base, adapter := made(t, maskedBert, maskedBertTensors, "", []tensor{ones(head+"lora_A.weight", 1, 4), ones(head+"lora_B.weight", 6, 1)})
	m := openPair(t, base, adapter, lazymerge.Options{})
	want := []string{"cls.predictions.decoder.bias", "cls.predictions.decoder.weight"}
	for _, x := range maskedBertTensors {
		want = append(want, x.name)
	}
	slices.Sort(want)
	if got := names(t, m); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if config := string(readAll(t, m, "config.json")); !strings.Contains(config, `"tie_word_embeddings": false`) {
		t.Error(config)
	}
	for _, n := range m.Report().Notes {
		if strings.Contains(n, "decoder.bias") {
			t.Errorf("a bias that keeps its values is no deviation: %s", n)
		}
	}
}

func TestTiesStayWhereNothingParts(t *testing.T) {
	query := "base_model.model.bert.encoder.layer.0.attention.self.query."
	base, adapter := made(t, maskedBert, maskedBertTensors, "", []tensor{ones(query+"lora_A.weight", 1, 4), ones(query+"lora_B.weight", 4, 1)})
	if got := names(t, openPair(t, base, adapter, lazymerge.Options{})); len(got) != len(maskedBertTensors) {
		t.Errorf("got %q", got)
	}
}

// PEFT passes over names in modules_to_save that the base has nothing for, and
// cannot load an adapter without the tensors of those that it has.
func TestModulesThatWereNotSaved(t *testing.T) {
	query := "base_model.model.bert.encoder.layer.0.attention.self.query."
	factors := []tensor{ones(query+"lora_A.weight", 1, 4), ones(query+"lora_B.weight", 4, 1)}
	base, adapter := made(t, maskedBert, maskedBertTensors, `, "modules_to_save": ["embed_tokens"]`, factors)
	m := openPair(t, base, adapter, lazymerge.Options{})
	if !slices.ContainsFunc(m.Report().Warnings, func(w transform.Warning) bool { return strings.Contains(w.Text, "embed_tokens") }) {
		t.Errorf("%q", m.Report().Warnings)
	}
	for _, module := range []string{"transform", "predictions", "decoder"} {
		base, adapter = made(t, maskedBert, maskedBertTensors, `, "modules_to_save": ["`+module+`"]`, factors)
		if err := openError(t, base, adapter); !errors.As(err, new(*lazymerge.LostError)) {
			t.Errorf("%s: %v", module, err)
		}
	}
}

func openError(t *testing.T, base, adapter string) error {
	t.Helper()
	m, err := tryRef(t, base, adapter, lazymerge.Options{})
	if err == nil {
		m.Close()
	}
	return err
}

// Both sides of a tie may lie on disk. Equal ones are one parameter in memory; from
// others transformers makes two, so that rows trained in one are not for the other.
func TestTiesWithTwoTensors(t *testing.T) {
	const head = "cls.predictions.decoder.weight"
	rows := tensor{"base_model.model.bert.embeddings.word_embeddings.token_adapter.trainable_tokens_delta", 5, []int64{1, 4}}
	for value, want := range map[float32]float32{1: 5, 2: 2} {
		list := append(slices.Clone(maskedBertTensors), tensor{head, value, []int64{6, 4}})
		base, adapter := made(t, maskedBert, list, `, "trainable_token_indices": {"word_embeddings": [1]}`, []tensor{rows})
		if got := valueAt(t, merged(t, base, adapter), head, 4); got != want {
			t.Errorf("a head of %g: row 1 holds %g, want %g", value, got, want)
		}
	}
}

// The adapter of a tied head wraps the rows that the embedding has trained.
func TestTrainedRowsUnderTheAdapterOfATiedHead(t *testing.T) {
	const head = "cls.predictions.decoder"
	base, adapter := made(t, maskedBert, maskedBertTensors, `, "trainable_token_indices": {"word_embeddings": [1]}`, []tensor{
		{"base_model.model.bert.embeddings.word_embeddings.token_adapter.trainable_tokens_delta", 5, []int64{1, 4}},
		ones("base_model.model."+head+".lora_A.weight", 1, 4), ones("base_model.model."+head+".lora_B.weight", 6, 1),
	})
	f := merged(t, base, adapter)
	for name, want := range map[string]float32{head + ".weight": 6, "bert.embeddings.word_embeddings.weight": 5} {
		if got := valueAt(t, f, name, 4); got != want {
			t.Errorf("%s: row 1 holds %g, want %g", name, got, want)
		}
	}
}

// merged opens the weights of the view.
func merged(t *testing.T, base, adapter string) *safetensors.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "merged.safetensors")
	writeText(t, path, string(readAll(t, openPair(t, base, adapter, lazymerge.Options{}), "model.safetensors")))
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func valueAt(t *testing.T, f *safetensors.File, name string, i int64) float32 {
	t.Helper()
	raw, err := f.Tensor(name).Slice(4*i, 4*i+4)
	if err != nil {
		t.Fatal(err)
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(raw))
}
