package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lorafs/cache"
	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/modeldir"
	"lorafs/safetensors"
)

// patient is an adapter that opens, in a copy that may be damaged.
type patient struct {
	name      string
	origin    string // the whole adapter
	ref, file string // the copy, and the weights in it
	base      *lazymerge.Base
	tensors   []*safetensors.Tensor
	metadata  map[string]string
	cache     *cache.Cache[lazymerge.Key]
}

// open reads the copy with other tensors.
func (p *patient) open(t *testing.T, tensors []*safetensors.Tensor) (*lazymerge.Model, error) {
	t.Helper()
	f, err := os.Create(p.file)
	if err == nil {
		err = errors.Join(safetensors.Write(f, p.metadata, tensors), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.openAs(p.ref)
}

func (p *patient) openAs(ref string) (*lazymerge.Model, error) {
	lib, err := modeldir.FindAdapters([]string{ref})
	if err != nil {
		return nil, err
	}
	return lazymerge.Open(context.Background(), p.base, lib.Adapters[0], lazymerge.Options{Cache: p.cache})
}

func newPatient(t *testing.T, name, base, weights, ref string) *patient {
	t.Helper()
	f, err := safetensors.Open(weights)
	if err != nil {
		t.Fatal(err)
	}
	b, err := lazymerge.OpenBase(base)
	if err != nil {
		t.Fatal(err)
	}
	p := &patient{name: name, origin: weights, ref: ref, file: ref, base: b, tensors: f.Tensors(), metadata: f.Header().Metadata, cache: cache.New[lazymerge.Key](1 << 20)}
	t.Cleanup(func() {
		if err := errors.Join(b.Close(), f.Close(), p.cache.Close()); err != nil {
			t.Error(err)
		}
	})
	if st, err := os.Stat(ref); err == nil && st.IsDir() {
		p.origin, p.file = filepath.Dir(weights), filepath.Join(ref, filepath.Base(weights))
	}
	return p
}

// with replaces the i-th tensor, by none for nil.
func (p *patient) with(i int, x *safetensors.Tensor) []*safetensors.Tensor {
	all := slices.Clone(p.tensors)
	if x == nil {
		return slices.Delete(all, i, i+1)
	}
	all[i] = x
	return all
}

func renamed(t *testing.T, x *safetensors.Tensor, name string) *safetensors.Tensor {
	t.Helper()
	n, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	data, err := x.Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	info := x.Info
	info.Name = name
	out, err := safetensors.FromBytes(info, data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// unknowable says of which lost tensors nobody can know that they are missing. The same
// values are merged without those of which it says so.
var unknowable = []struct{ cases, tensor, reason string }{
	{`.*`, `\.original_module\.`, "same: the base's values, which nothing reads"},
	{`.*`, `\.modules_to_save\.weight$`, "same: a copy under another name"},
	{`.*`, `\.lora_(monteclora_sampler|velora_embed)`, "same: state of training"},
	{`randlora-(different|gpt2|layers).*`, `^base_model\.model\..*randlora_[AB]$`, "same: a copy of what all modules share"},
	{`tied-(ensured-save|grown|shrunk).*`, `lm_head\.(weight|token_adapter\.trainable_tokens_delta)$`, "same: a copy in a module that shares the tensor"},
	{`tied-(grown|shrunk)`, `embed_tokens\.weight$`, "same: a copy in a module that shares the tensor"},
	{`tied-grown-tokens`, `token_adapter\.base_layer\.weight$`, "same: a copy in a module that shares the tensor"},
	{`trainable-tokens-(gpt2|tied)`, `lm_head\.trainable_tokens_delta$`, "same: a copy in a module that shares the tensor"},
	{`llama-grown-saved`, `(lm_head|embed_tokens)\.weight$`, "same: a copy under another name"},
	{`.*`, `(lm_head|embed_tokens)\.base_layer\.weight$`, "the base's tensor, which PEFT saves or does not (save_embedding_layers)"},
	{`llama-(grown|shrunk).*`, `(lm_head|embed_tokens)\.weight$`, "PEFT does not save it where it cannot find the base's config; a warning says that the vocabularies differ"},
	{`(bert|distilbert|roberta|vit|llama)-.*(classifier|questions|classes)(-.*)?`, `(classifier|score|qa_outputs|dense|out_proj)\.bias$`, "a new head may have no bias"},
	{`(boft|c3a|hra)-bias|fourierft-kinds|glora-bias-alone|waveft-plain`, `base_layer\.bias$`, "the only bias of the file: releases of PEFT have saved none"},
	{`bert-bias-all`, `(embeddings\.LayerNorm|pooler\.dense)\.bias$`, "a module outside the layers, which a class may lack"},
}

// excuse is the reason why a loss cannot be known, "" when it can.
func excuse(name, tensor string) string {
	for _, x := range unknowable {
		if regexp.MustCompile(`^(?:`+x.cases+`)$`).MatchString(name) && regexp.MustCompile(x.tensor).MatchString(tensor) {
			return x.reason
		}
	}
	return ""
}

// TestLostTensors takes each tensor out of every golden adapter in turn: it is refused with
// the tensor's name, or listed with the reason why it cannot be.
func TestLostTensors(t *testing.T) {
	types := make(map[string]bool)
	for _, g := range readGoldens(t, "testdata/goldens") {
		if g.Expect == "refuse" || g.Stack != nil {
			continue
		}
		config, err := peft.ReadConfig(filepath.Join(g.adapter(), "adapter_config.json"))
		if err != nil {
			t.Fatal(err)
		}
		types[config.PeftType] = true
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			p := goldenPatient(t, g)
			for i, x := range p.tensors {
				p.checkMissing(t, i, x)
			}
		})
	}
	for _, name := range peft.Types() {
		if !types[name] {
			t.Errorf("no golden of type %s", name)
		}
	}
}

func goldenPatient(t *testing.T, g *golden) *patient {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := os.CopyFS(dir, os.DirFS(g.adapter())); err != nil {
		t.Fatal(err)
	}
	return newPatient(t, g.name, g.base, filepath.Join(g.adapter(), "adapter_model.safetensors"), dir)
}

func (p *patient) checkMissing(t *testing.T, i int, x *safetensors.Tensor) {
	t.Helper()
	m, err := p.open(t, p.with(i, nil))
	reason := excuse(p.name, x.Name)
	switch {
	case err != nil && reason != "" && strings.HasPrefix(reason, "same"):
		t.Errorf("without %s: %v", x.Name, err)
	case err != nil:
		p.checkNamed(t, "without", x.Name, err)
		return
	case reason == "":
		t.Errorf("opens without %s", x.Name)
	case strings.HasPrefix(reason, "same"):
		p.checkSame(t, x.Name, m)
	case strings.Contains(reason, "a warning") && len(m.Report().Warnings) == 0:
		t.Errorf("no warning without %s", x.Name)
	}
	if m != nil {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// plainName is a tensor's name without what PEFT puts around the module, and without the
// last component where it has alternatives.
var plainName = strings.NewReplacer("base_model.model.", "", "module.base_model.model.", "", "_orig_mod.", "", "_fsdp_wrapped_module.", "",
	".weight", "", ".base_layer", "", ".token_adapter", "", ".zeros", "", ".default", "", ".modules_to_save", "", "oft_embedding_R", "oft_R")

// checkNamed wants the tensor in the message, or the file when nothing is left in it.
func (p *patient) checkNamed(t *testing.T, how, tensor string, err error) {
	t.Helper()
	name := plainName.Replace(tensor)
	switch {
	case len(p.tensors) == 1:
		name = p.file
	case strings.HasSuffix(name, "trainable_tokens_delta"): // the config gives the end of a name, or none
		name = "trainable_tokens_delta"
	case strings.Contains(name, ".tinylora_"): // modules share vectors by their number, which is then another
		name = "tinylora_"
	case strings.HasSuffix(name, ".lokr_t2"): // without it the factors next to it have the wrong shapes
		name = strings.TrimSuffix(name, "t2") + "w2_b"
	}
	if !strings.Contains(plainName.Replace(err.Error()), name) {
		t.Errorf("%s %s: the message does not name it: %v", how, tensor, err)
	}
}

// checkSame wants the model that the whole adapter gives.
func (p *patient) checkSame(t *testing.T, tensor string, m *lazymerge.Model) {
	t.Helper()
	whole, err := p.openAs(p.origin)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range whole.Entries() {
		if strings.HasSuffix(e.Path, ".safetensors") && string(readEntry(t, whole, e)) != string(readEntry(t, m, e)) {
			t.Errorf("without %s: %s differs", tensor, e.Path)
		}
	}
	if err := whole.Close(); err != nil {
		t.Error(err)
	}
}

func readEntry(t *testing.T, m *lazymerge.Model, e lazymerge.Entry) []byte {
	t.Helper()
	f, err := m.OpenFile(e.Path)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, f.Size())
	_, err = f.ReadAt(context.Background(), b, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestStrayTensors renames tensors of an adapter of each type, and adds one.
func TestStrayTensors(t *testing.T) {
	types := make(map[string]bool)
	for _, g := range readGoldens(t, "testdata/goldens") {
		if g.Expect == "refuse" || g.Stack != nil {
			continue
		}
		config, err := peft.ReadConfig(filepath.Join(g.adapter(), "adapter_config.json"))
		if err != nil {
			t.Fatal(err)
		}
		if types[config.PeftType] {
			continue
		}
		types[config.PeftType] = true
		t.Run(config.PeftType, func(t *testing.T) {
			t.Parallel()
			goldenPatient(t, g).checkStrays(t)
		})
	}
}

func (p *patient) checkStrays(t *testing.T) {
	t.Helper()
	for i, x := range p.tensors {
		for _, name := range []string{x.Name + "_x", strings.Replace(x.Name, "base_model.model.", "base_model.model.x.y.", 1)} {
			if name == x.Name {
				continue
			}
			stray := renamed(t, x, name)
			if m, err := p.open(t, p.with(i, stray)); err == nil {
				t.Errorf("opens with %s renamed to %s", x.Name, name)
				_ = m.Close()
			} else if !strings.Contains(err.Error(), name) {
				p.checkNamed(t, "renamed", x.Name, err)
			}
			if m, err := p.open(t, append(slices.Clone(p.tensors), stray)); err == nil {
				t.Errorf("opens with %s as well", name)
				_ = m.Close()
			} else {
				p.checkNamed(t, "also", name, err)
			}
		}
	}
}

// TestLostTensorsOfFiles does the same for adapters that are one file. They have no list
// of targets: a module of which nothing is left is not missed.
func TestLostTensorsOfFiles(t *testing.T) {
	cases, err := filepath.Glob("testdata/diffusion/cases/*/case.json")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		c := readDiffusionCase(t, "testdata/diffusion", file)
		if filepath.Ext(c.Adapter) != ".safetensors" {
			continue
		}
		t.Run(filepath.Base(c.dir), func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, filepath.Base(c.dir), c.base(), c.adapter(), filepath.Join(t.TempDir(), filepath.Base(c.adapter())))
			for i, x := range p.tensors {
				p.checkFile(t, i, x)
			}
		})
	}
}

// ofFiles says of which lost tensors of one file nobody can know: those of modules that
// are alone of their kind, where a module may lack the tensor, or has nothing but it.
var ofFiles = []struct{ tensor, reason string }{
	{`\.alpha$`, "without it the scale is 1"},
	{`\.(dora_scale|lora_magnitude_vector)$`, "without it the module is a low-rank one"},
	{`\.rescale$`, "without it nothing is rescaled"},
	{`\.(diff|diff_b|w_norm|b_norm)$`, "no list says which parameters were trained"},
}

var digits = regexp.MustCompile(`\d+`)

func (p *patient) checkFile(t *testing.T, i int, x *safetensors.Tensor) {
	t.Helper()
	m, err := p.open(t, p.with(i, nil))
	if err == nil {
		err = m.Close()
	} else {
		p.checkOfFile(t, x.Name, err)
		return
	}
	if err != nil {
		t.Error(err)
	}
	alone := !slices.ContainsFunc(p.tensors, func(y *safetensors.Tensor) bool {
		return y != x && digits.ReplaceAllString(y.Name, "#") == digits.ReplaceAllString(x.Name, "#")
	})
	for _, known := range ofFiles {
		if regexp.MustCompile(known.tensor).MatchString(x.Name) && (alone || strings.Contains(known.reason, "no list")) {
			return
		}
	}
	t.Errorf("opens without %s", x.Name)
}

var leafOfFile = regexp.MustCompile(`(\.lora|_lora\d?\.|\.)[^.]*(\.weight)?$`)

// checkOfFile wants the module in the message: it has several leaves of which one may do.
func (p *patient) checkOfFile(t *testing.T, tensor string, err error) {
	t.Helper()
	if errors.As(err, new(*peft.EmptyError)) && len(p.tensors) == 1 {
		return
	}
	module := leafOfFile.ReplaceAllString(tensor, "")
	if !strings.Contains(err.Error(), module) {
		t.Errorf("without %s: the message does not name it: %v", tensor, err)
	}
}
