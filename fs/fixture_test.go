package fs

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lorafs/cache"
	"lorafs/lazymerge"
	"lorafs/lazymerge/modeldir"
	"lorafs/safetensors"
)

// size of the fixture's matrices: bf16, rows × columns.
type size struct{ rows, cols int64 }

var tiny = size{256, 384}

// pair is a base of two shards and an adapter that edits the first: the second shard
// and config.json are shown as they are, the first is merged.
type pair struct {
	base, adapter string
	cache         *cache.Cache[lazymerge.Key]
	model         *lazymerge.Model
}

const (
	mergedShard = "model-00001-of-00002.safetensors"
	baseShard   = "model-00002-of-00002.safetensors"
	edited      = "model.layers.0.self_attn.q_proj"
	untouched   = "model.layers.1.self_attn.q_proj"
)

// writePair makes the inputs below dir. zero leaves the adapter without effect.
func writePair(dir string, s size, zero bool) (pair, error) {
	p := pair{base: filepath.Join(dir, "base"), adapter: filepath.Join(dir, "adapters", "style")}
	for _, d := range []string{p.base, p.adapter} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return p, err
		}
	}
	config := map[string]any{"model_type": "llama", "architectures": []string{"LlamaForCausalLM"}, "hidden_size": s.cols, "num_hidden_layers": 2}
	index := map[string]any{
		"metadata":   map[string]any{"total_size": 4 * s.rows * s.cols},
		"weight_map": map[string]string{edited + ".weight": mergedShard, untouched + ".weight": baseShard},
	}
	adapter := map[string]any{"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": []string{"layers.0.self_attn.q_proj"}}
	for name, v := range map[string]any{
		filepath.Join(p.base, "config.json"):                   config,
		filepath.Join(p.base, "model.safetensors.index.json"):  index,
		filepath.Join(p.adapter, "adapter_config.json"):        adapter,
		filepath.Join(p.base, "tokenizer", "vocab.json"):       map[string]int{"a": 1},
		filepath.Join(p.base, "modeling_custom.py"):            "pass",
		filepath.Join(p.base, "tokenizer", "long name é.json"): 1,
	} {
		if err := writeJSON(name, v); err != nil {
			return p, err
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	prefix := "base_model.model." + edited
	b := random(r, prefix+".lora_B.weight", s.rows, 4)
	if zero {
		clear(b.data)
	}
	return p, writeAll(map[string][]tensor{
		filepath.Join(p.base, mergedShard):                    {random(r, edited+".weight", s.rows, s.cols)},
		filepath.Join(p.base, baseShard):                      {random(r, untouched+".weight", s.rows, s.cols)},
		filepath.Join(p.adapter, "adapter_model.safetensors"): {random(r, prefix+".lora_A.weight", 4, s.cols), b},
	})
}

type tensor struct {
	info safetensors.Info
	data []byte
}

// random is a bf16 tensor of values around ±0.01 to 0.5.
func random(r *rand.Rand, name string, shape ...int64) tensor {
	n := int64(2)
	for _, d := range shape {
		n *= d
	}
	t := tensor{safetensors.Info{Name: name, DType: safetensors.BF16, Shape: shape}, make([]byte, n)}
	for i := 0; i < len(t.data); i += 2 {
		t.data[i], t.data[i+1] = byte(r.Uint32()), 0x3C|byte(r.Uint32()&0x82)
	}
	return t
}

func writeAll(files map[string][]tensor) error {
	for path, list := range files {
		var tensors []*safetensors.Tensor
		for _, t := range list {
			made, err := safetensors.FromBytes(t.info, t.data)
			if err != nil {
				return err
			}
			tensors = append(tensors, made)
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := safetensors.Write(f, nil, tensors); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(path string, v any) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// open opens the pair under a name. closer releases everything.
func (p *pair) open(name string) (closer func() error, err error) {
	base, err := lazymerge.OpenBase(p.base)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	lib, err := modeldir.FindAdapters([]string{name + "=" + p.adapter})
	if err != nil {
		return nil, err
	}
	p.cache = cache.New[lazymerge.Key](16 << 20)
	p.model, err = lazymerge.Open(context.Background(), base, lib.Adapters[0], lazymerge.Options{Cache: p.cache})
	if err != nil {
		return nil, err
	}
	return func() error {
		if err := p.model.Close(); err != nil {
			return err
		}
		return p.cache.Close()
	}, nil
}

func newPair(t testing.TB, s size, zero bool) *pair {
	t.Helper()
	p, err := writePair(t.TempDir(), s, zero)
	if err != nil {
		t.Fatal(err)
	}
	p.openAs(t, "style")
	return &p
}

func (p *pair) openAs(t testing.TB, name string) *lazymerge.Model {
	t.Helper()
	closer, err := p.open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closer(); err != nil {
			t.Error(err)
		}
	})
	return p.model
}

// bytesOf is what lazymerge says that a file of the model holds.
func bytesOf(t testing.TB, m *lazymerge.Model, path string) []byte {
	t.Helper()
	f, err := m.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, f.Size())
	if n, err := f.ReadAt(context.Background(), b, 0); n != len(b) || err != nil && err != io.EOF {
		t.Fatalf("%s: %d of %d bytes, %v", path, n, len(b), err)
	}
	return b
}

func entryOf(t testing.TB, m *lazymerge.Model, path string) lazymerge.Entry {
	t.Helper()
	i := slices.IndexFunc(m.Entries(), func(e lazymerge.Entry) bool { return e.Path == path })
	if i < 0 {
		t.Fatalf("no entry %s", path)
	}
	return m.Entries()[i]
}

// required says whether CI promises that the machine has what a test needs.
func required(what string) bool {
	return slices.Contains(strings.Split(os.Getenv("LORAFS_TEST_REQUIRE"), ","), what)
}

func skip(t testing.TB, what, reason string) {
	t.Helper()
	if required(what) {
		t.Fatalf("%s is required: %s", what, reason)
	}
	t.Skipf("SKIPPED for lack of %s: %s", what, reason)
}

// patience bounds waits; none takes that long when all is well.
const patience = 30 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not after %v: %s", patience, what)
		}
	}
}
