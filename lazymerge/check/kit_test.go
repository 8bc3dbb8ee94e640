package check

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"lorafs/cache"
	"lorafs/lazymerge"
	"lorafs/safetensors"
)

// tree is files by their paths. A content that begins with linkMark is the target of a
// symbolic link.
type tree map[string]string

const linkMark = "\x00link:"

// with gives a copy of the tree with some files added, replaced, or removed ("-").
func (t tree) with(pairs ...string) tree {
	out := make(tree)
	for k, v := range t {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		if out[pairs[i]] = pairs[i+1]; pairs[i+1] == "-" {
			delete(out, pairs[i])
		}
	}
	return out
}

// without leaves out all below a directory.
func (t tree) without(dir string) tree {
	out := make(tree)
	for k, v := range t {
		if !strings.HasPrefix(k, dir+"/") {
			out[k] = v
		}
	}
	return out
}

// write makes the tree in a directory.
func (t tree) write(tb testing.TB, dir string) {
	tb.Helper()
	for name, text := range t {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, linkMark); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// tensor is one of a made-up file, of F32.
type tensor struct {
	name  string
	shape []int64
	value func(i int) float32 // nil: small values, none of them zero
}

func some(name string, shape ...int64) tensor { return tensor{name: name, shape: shape} }

func filled(name string, v float32, shape ...int64) tensor {
	return tensor{name, shape, func(int) float32 { return v }}
}

// weights is a safetensors file.
func weights(tensors ...tensor) string { return weightsOf(nil, tensors...) }

func weightsOf(metadata map[string]string, tensors ...tensor) string {
	var list []*safetensors.Tensor
	for _, x := range tensors {
		n := int64(1)
		for _, d := range x.shape {
			n *= d
		}
		data := make([]byte, 0, 4*n)
		for i := range int(n) {
			v := float32(i%7+1) / 64
			if x.value != nil {
				v = x.value(i)
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		made, err := safetensors.FromBytes(safetensors.Info{Name: x.name, DType: safetensors.F32, Shape: x.shape}, data)
		if err != nil {
			panic(err)
		}
		list = append(list, made)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, metadata, list); err != nil {
		panic(err)
	}
	return b.String()
}

// raw is a weights file with any header and data.
func raw(header, data string) string {
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header + data
}

const (
	prefix  = "base_model.model.model.layers."
	queries = ".self_attn.q_proj."
	config  = `{"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":["q_proj"]}`
)

// pair is the adapter of one module.
func pair(module string) []tensor {
	return []tensor{some(module+"lora_A.weight", 2, 4), some(module+"lora_B.weight", 4, 2)}
}

func factorTensors() []tensor { return append(pair(prefix+"0"+queries), pair(prefix+"1"+queries)...) }

// factors is the adapter of the queries of two layers, and more.
func factors(more ...tensor) string { return weights(append(factorTensors(), more...)...) }

// torchOf is a file of torch.save, of a dict of tensors.
func torchOf(tensors ...tensor) string {
	pickle := "\x80\x02}"
	var records []string
	for i, x := range tensors {
		if len(x.shape) != 2 {
			panic("only matrices are pickled here")
		}
		n, key := x.shape[0]*x.shape[1], strconv.Itoa(i)
		pickle += pickled(x.name) + "ctorch._utils\n_rebuild_tensor_v2\n((" + pickled("storage") + "ctorch\nFloatStorage\n" + pickled(key) + pickled("cpu") +
			fmt.Sprintf("K%ctQK\x00K%cK%c\x86K%cK\x01\x86\x89NtRs", n, x.shape[0], x.shape[1], x.shape[1])
		records = append(records, "archive/data/"+key, strings.Repeat("\x00\x00\x80\x3f", int(n)))
	}
	return torchZip(zip.Store, pickle+".", records...)
}

// pickled is a string in a pickle.
func pickled(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// torchZip is the archive of torch.save around a pickle, and more records by their names.
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

// edited is factors with each name put through edit.
func edited(edit func(string) string) string {
	all := append(pair(prefix+"0"+queries), pair(prefix+"1"+queries)...)
	for i := range all {
		all[i].name = edit(all[i].name)
	}
	return weights(all...)
}

func model(more ...tensor) []tensor {
	all := []tensor{some("model.embed_tokens.weight", 8, 4), some("lm_head.weight", 8, 4), some("model.norm.weight", 4)}
	for _, layer := range []string{"0", "1"} {
		for _, m := range []string{"q_proj", "k_proj"} {
			all = append(all, some("model.layers."+layer+".self_attn."+m+".weight", 4, 4))
		}
	}
	return append(all, more...)
}

// llama is a base and an adapter for it.
var llama = tree{
	"base/config.json":                  `{"model_type":"llama","architectures":["LlamaForCausalLM"],"num_hidden_layers":2,"vocab_size":8}`,
	"base/model.safetensors":            weights(model()...),
	"adapter/adapter_config.json":       config,
	"adapter/adapter_model.safetensors": factors(),
}

const (
	configFile = "adapter/adapter_config.json"
	file       = "adapter/adapter_model.safetensors"
)

// sdScripts is an adapter of sd-scripts for a model that is one file.
var sdScripts = tree{
	"base.safetensors": weights(some("x.weight", 4, 4), some("y.weight", 4, 4)),
	"one.safetensors":  weights(kohya("x"), kohyaUp("x"), filled("lora_unet_x.alpha", 2), kohya("y"), kohyaUp("y"), filled("lora_unet_y.alpha", 2)),
}

func kohya(module string) tensor   { return some("lora_unet_"+module+".lora_down.weight", 2, 4) }
func kohyaUp(module string) tensor { return some("lora_unet_"+module+".lora_up.weight", 4, 2) }

// run is the output of a training run.
var run = tree{}.
	with("run/checkpoint-1/adapter_config.json", config, "run/checkpoint-1/adapter_model.safetensors", factors()).
	with("run/checkpoint-10/adapter_config.json", config, "run/checkpoint-10/adapter_model.safetensors", factors())

// buffers is what merged models may compute with.
func buffers(tb testing.TB) lazymerge.Options {
	c := cache.New[lazymerge.Key](1 << 20)
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return lazymerge.Options{Cache: c}
}
