package resolve

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// corpusCase is one checkpoint and the class that loads it (gen/corpus.py).
type corpusCase struct {
	Type, Arch, Runs string
	Hub              bool
	Config           map[string]any
	Disk             []string
	Find             map[string]int
	Tied             map[string]int
}

const (
	converts = -1 - iota // the parameter is made by a conversion
	isTied
	absent
)

func (c *corpusCase) index() *Index {
	return New(Base{
		Names: c.Disk, ModelType: c.Type, Architectures: []string{c.Arch},
		Config: func(p string) any { return c.Config[p] },
	})
}

// open reads a compressed file of testdata.
func open(tb testing.TB, path string) io.Reader {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

// each decodes a file of JSON lines.
func each[T any](tb testing.TB, path string, use func(T)) {
	tb.Helper()
	d := json.NewDecoder(open(tb, path))
	for {
		var v T
		if err := d.Decode(&v); err == io.EOF {
			return
		} else if err != nil {
			tb.Fatal(err)
		}
		use(v)
	}
}

// check compares one answer with what the loader does.
func (c *corpusCase) check(x *Index, name string) error {
	i := strings.LastIndexByte(name, '.')
	m, err := x.Find(name[:i], name[i+1:])
	want := c.Find[name]
	var conv *ConvertedError
	switch {
	case want >= 0 && err != nil:
		return fmt.Errorf("want %s: %w", c.Disk[want], err)
	case want >= 0 && (m.Name != c.Disk[want] || m.Tied):
		return fmt.Errorf("want %s, got %+v", c.Disk[want], m)
	case want == converts && !errors.As(err, &conv):
		return fmt.Errorf("want a conversion, got %+v %v", m, err)
	case want == isTied && (err != nil || !m.Tied || m.Name != c.Disk[c.Tied[name]]):
		return fmt.Errorf("want tied %s, got %+v %v", c.Disk[c.Tied[name]], m, err)
	case want == absent && err == nil:
		return fmt.Errorf("want nothing, got %+v", m)
	}
	return nil
}

// kinder lists the checkpoints for which Find has an answer where transformers'
// loader leaves a parameter without one, and why the answer is right.
var kinder = map[[2]string]string{
	{"BartModel", "BartForCausalLM"}:             "shared is the decoder's embedding; the loader forgets it",
	{"BlenderbotModel", "BlenderbotForCausalLM"}: "as Bart",
	{"MBartModel", "MBartForCausalLM"}:           "as Bart",
	{"MarianModel", "MarianForCausalLM"}:         "as Bart",
	{"PegasusModel", "PegasusForCausalLM"}:       "as Bart",

	{"Qwen3VLMoeModel", "Qwen3VLMoeForConditionalGeneration"}:                                    "the text config ties, as release 4 reads it",
	{"Qwen2_5OmniThinkerModel", "Qwen2_5OmniThinkerForConditionalGeneration"}:                    "as Qwen3VLMoe",
	{"Qwen2_5OmniThinkerForConditionalGeneration", "Qwen2_5OmniThinkerModel"}:                    "saved under a prefix twice, which the loader does not undo",
	{"Qwen2_5OmniThinkerForConditionalGeneration", "Qwen2_5OmniThinkerForConditionalGeneration"}: "as above",
	{"Gemma3ForConditionalGeneration", "Gemma3ForConditionalGeneration"}:                         "saved with a prefix from the ShieldGemma2 config, which the loader does not undo",
	{"ShieldGemma2ForImageClassification", "Gemma3ForConditionalGeneration"}:                     "as above",
	{"UltrabertForMaskedLM", "UltrabertModel"}:                                                   "saved under a prefix twice",
}

func TestCorpus(t *testing.T) {
	types, right, modules := map[string]bool{}, 0, 0
	used := map[[2]string]bool{}
	each(t, "testdata/corpus.jsonl.gz", func(c corpusCase) {
		x := c.index()
		wrong := 0
		for _, name := range slices.Sorted(maps.Keys(c.Find)) {
			modules++
			err := c.check(x, name)
			if err == nil {
				right++
				continue
			}
			if pair := [2]string{c.Arch, c.Runs}; c.Find[name] == absent && kinder[pair] != "" {
				used[pair] = true
				continue
			}
			if wrong++; wrong <= 3 {
				t.Errorf("%s saved, %s runs (hub %v): %s: %v", c.Arch, c.Runs, c.Hub, name, err)
			}
		}
		types[c.Type] = true
	})
	if len(used) != len(kinder) {
		t.Errorf("kinder has %d rows, %d are needed: %v", len(kinder), len(used), used)
	}
	t.Logf("%d model types, %d of %d modules right", len(types), right, modules)
	if len(types) < 200 || modules < 30000 {
		t.Errorf("only %d model types and %d modules in the corpus", len(types), modules)
	}
}
