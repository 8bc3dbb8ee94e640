package lazymerge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// configEdits are the corrections that config.json needs for the merged model.
type configEdits struct {
	untied  bool
	vocab   [2]int64 // rows of the embedding before and after, when they differ
	layers  layerMap // nil unless layers were replicated
	class   string   // of the task model, "" when the base's stays
	labels  int64    // of a classification head that was added or has another number of them
	dropped []string // tensors that the task class does not have
}

// resized notes a tensor of the vocabulary whose number of rows changed. An embedding
// counts more than a head.
func (e *configEdits) resized(name string, from, to int64) {
	embedding := strings.Contains(name, "embed") || strings.Contains(name, "wte") || strings.Contains(name, "shared")
	if embedding || e.vocab == [2]int64{} {
		e.vocab = [2]int64{from, to}
	}
}

func (e *configEdits) any() bool {
	return e.untied || e.vocab != [2]int64{} || e.layers != nil || e.class != "" || e.labels > 0
}

// apply returns the corrected config.json. Members that stay keep their bytes and
// their order.
func (e *configEdits) apply(raw []byte) ([]byte, error) {
	out := bytes.Clone(raw)
	set := func(path string, v any) error {
		var err error
		out, err = sjson.SetBytes(out, path, v)
		if err != nil {
			return fmt.Errorf("config.json: set %s: %w", path, err)
		}
		return nil
	}
	for _, edit := range e.changes(raw) {
		if err := set(edit.path, edit.value); err != nil {
			return nil, err
		}
	}
	return indent(out), nil
}

type configEdit struct {
	path   string
	value  any
	before string // JSON text, "absent" when there is none
}

// changes lists the corrections to the document raw.
func (e *configEdits) changes(raw []byte) []configEdit {
	cfg := gjson.ParseBytes(raw)
	list := e.list(cfg)
	for i := range list {
		list[i].before = "absent"
		if v := cfg.Get(list[i].path); v.Exists() {
			list[i].before = v.Raw
		}
	}
	return list
}

// sections are config.json's top level and the nested config of a language model
// inside a larger one.
func sections(cfg gjson.Result) []string {
	out := []string{""}
	for _, name := range []string{"text_config", "llm_config", "language_config", "thinker_config.text_config"} {
		if cfg.Get(name).IsObject() {
			out = append(out, name+".")
		}
	}
	return out
}

func (e *configEdits) list(cfg gjson.Result) []configEdit {
	var out []configEdit
	for _, s := range sections(cfg) {
		if e.untied && (s == "" || cfg.Get(s+"tie_word_embeddings").Exists()) {
			out = append(out, configEdit{path: s + "tie_word_embeddings", value: false})
		}
		if v := cfg.Get(s + "vocab_size"); e.vocab != [2]int64{} && v.Exists() && (v.Int() == e.vocab[0] || s != "" || len(sections(cfg)) == 1) {
			out = append(out, configEdit{path: s + "vocab_size", value: e.vocab[1]})
		}
		out = append(out, e.layerEdits(cfg, s)...)
	}
	if e.class != "" {
		out = append(out, configEdit{path: "architectures", value: []string{e.class}})
	}
	if e.labels > 0 {
		id2label, label2id := labelNames(e.labels)
		if int64(len(cfg.Get("id2label").Map())) != e.labels {
			out = append(out, configEdit{path: "id2label", value: id2label}, configEdit{path: "label2id", value: label2id})
		}
	}
	return out
}

// layerEdits corrects the number of layers and the lists with one member a layer.
func (e *configEdits) layerEdits(cfg gjson.Result, section string) []configEdit {
	if e.layers == nil {
		return nil
	}
	var out []configEdit
	for _, name := range []string{"num_hidden_layers", "n_layer", "n_layers", "num_layers"} {
		if cfg.Get(section + name).Exists() {
			out = append(out, configEdit{path: section + name, value: len(e.layers)})
		}
	}
	if list := cfg.Get(section + "layer_types").Array(); len(list) > 0 {
		types := make([]any, 0, len(e.layers))
		for _, n := range e.layers {
			if n < len(list) {
				types = append(types, list[n].Value())
			}
		}
		out = append(out, configEdit{path: section + "layer_types", value: types})
	}
	return out
}

// indent lays the document out as the Hugging Face tools do: two spaces, a final
// newline, members in the order given.
func indent(raw []byte) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
		return raw
	}
	b.WriteByte('\n')
	return b.Bytes()
}
