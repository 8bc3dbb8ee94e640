package single

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/safetensors"
)

// plainModel is the names of a model's blocks.
var plainModel = []string{
	"blocks.0.attn.q.weight", "blocks.0.attn.k.weight", "blocks.0.attn.q.bias", "blocks.0.norm.weight", "head.weight", "head.scale_shift_table",
}

// endings are of roles that are not the end of a name by themselves.
var endings = map[role]string{roleDown: "lora_A.weight", roleUp: "lora_B.weight", roleMid: "lora_mid.weight", roleUpBias: "lora_B.bias"}

func (r role) named(module string) string {
	if end, ok := endings[r]; ok {
		return module + "." + end
	}
	return module + "." + string(r)
}

// TestAdaptersLookLikeOnes: of each algorithm, and whatever may be lost of it.
func TestAdaptersLookLikeOnes(t *testing.T) {
	for _, a := range algorithms {
		for _, module := range []string{"unet.blocks.0.q", "blocks.0.q", "lora_unet_blocks_0_q"} {
			var names []string
			for _, r := range a.marks {
				names = append(names, r.named(module))
				if !ofAdapter([]string{r.named(module)}) {
					t.Errorf("%s: %s", a.name, r.named(module))
				}
			}
			for _, r := range append(a.needs, a.options...) {
				names = append(names, r.named(module))
			}
			if !ofAdapter(names) {
				t.Errorf("%s: %v", a.name, names)
			}
		}
	}
	for _, end := range []string{
		"lora_Q.weight", "lora_embedding_A", "vblora_logits_A", "randlora_lambda", "ia3_l", "oft_R.weight", "boft_s", "delora_A",
		"glora_A.X", "gralora_A", "supertuning_lora_A.weight", "processor.to_q_lora.weight", "adapters.style.adapter_down.0.weight", "to_k_ip.adapter.weight",
	} {
		if !ofAdapter([]string{"base_model.model.blocks.0.q." + end}) {
			t.Error(end)
		}
	}
	if !ofAdapter(append(plainModel, "blocks.0.attn.q.lora_A.weight")) {
		t.Error("a model with an adapter in it is none to merge into")
	}
}

// TestModelsDoNot: names that models and adapters share.
func TestModelsDoNot(t *testing.T) {
	for _, name := range []string{
		"llm_adapter.blocks.0.q.weight", "ip_adapter.0.to_k.weight", "time_adapter.weight", "vocoder.act.alpha", "x.rescale", "blocks.0.attn.diff",
		"soft_gate.weight", "shadaw.weight", "flora.weight", "b1.weight", "blocks.0.b1.weight", "head.alpha", "blocks.0.w_lora.lora.0.weight", "log_softmax.mlp.layer0.bias",
	} {
		for _, prefix := range []string{"", "model.diffusion_model."} {
			var names []string
			for _, n := range append(plainModel, name) {
				names = append(names, prefix+n)
			}
			if ofAdapter(names) {
				t.Error(prefix + name)
			}
		}
	}
	file, err := os.Open("../../resolve/testdata/corpus.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(z); ; {
		var c struct {
			Arch string
			Disk []string
		}
		if err := d.Decode(&c); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if ofAdapter(c.Disk) {
			t.Errorf("%s looks like an adapter", c.Arch)
		}
	}
}

// TestStoredFiles: the stored adapters look like ones, the models do not.
func TestStoredFiles(t *testing.T) {
	const stored = "../../../integration/testdata/diffusion/"
	for pattern, want := range map[string]bool{"cases/*/adapter.safetensors": true, "bases/*.safetensors": false, "bases/*/*/*.safetensors": false} {
		files, err := filepath.Glob(stored + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, path := range files {
			if LooksLikeAdapter(headerOf(t, path)) != want {
				t.Errorf("%s looks like an adapter: %v", path, !want)
			}
		}
	}
}

func headerOf(t *testing.T, path string) *safetensors.Header {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := safetensors.ReadHeader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestWholeModels: a model is told for one whatever it calls its parameters.
func TestWholeModels(t *testing.T) {
	for _, name := range []string{"blocks.0.alpha", "llm_adapter.q.weight", "soft_gate.weight", "blocks.0.rescale"} {
		items := []item{it(name, 4)}
		for _, n := range plainModel {
			items = append(items, it(n, 4))
		}
		var whole *peft.WholeModelError
		if _, err := open(t, Options{}, nil, items...); !errors.As(err, &whole) || !strings.Contains(err.Error(), plainModel[0]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var unknown *peft.UnknownTensorsError
	if _, err := open(t, Options{}, nil, it("x.adapter_down.weight", 4), it("x.adapter_up.weight", 4), it("y.weight", 4)); !errors.As(err, &unknown) {
		t.Errorf("an adapter of another program: %v", err)
	}
}
