package lazymerge

import (
	"os"
	"path"
	"time"

	"github.com/tidwall/gjson"

	"lorafs/lazymerge/modeldir"
)

// view is the set of files a model shows, by path.
type view struct {
	files   map[string]modeldir.File
	leftOut []string
}

// overlay starts from the base's files and puts the adapter's tokenizer, chat
// template and generation config over them.
func overlay(base *modeldir.Base, a modeldir.Adapter) (*view, error) {
	v := &view{files: make(map[string]modeldir.File), leftOut: base.LeftOut}
	for _, f := range base.Files {
		v.files[f.Path] = f
	}
	if base.SingleFile || len(base.Components) > 1 {
		return v, nil // no tokenizer at the top to replace
	}
	var has overlayParts
	for _, f := range a.Files {
		has.note(f)
		v.files[f.Path] = f
	}
	v.dropStale(a, has)
	return v, nil
}

// overlayParts says which parts of a tokenizer the adapter brings.
type overlayParts struct {
	config   string // host path of tokenizer_config.json
	vocab    bool
	template bool
}

func (p *overlayParts) note(f modeldir.File) {
	switch path.Base(f.Path) {
	case "tokenizer_config.json":
		p.config = f.Host
	case "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model":
		p.vocab = true
	case "chat_template.jinja", "chat_template.json":
		p.template = true
	}
}

// dropStale removes what the base's tokenizer would add to the adapter's: token
// lists that belong to another vocabulary, and a chat template file that readers
// prefer to the one inside the adapter's tokenizer_config.json.
func (v *view) dropStale(a modeldir.Adapter, has overlayParts) {
	if has.config == "" {
		return
	}
	brought := make(map[string]bool)
	for _, f := range a.Files {
		brought[f.Path] = true
	}
	drop := func(names ...string) {
		for _, n := range names {
			if !brought[n] {
				delete(v.files, n)
			}
		}
	}
	if has.vocab {
		drop("added_tokens.json", "special_tokens_map.json")
	}
	if raw, err := os.ReadFile(has.config); err == nil && !has.template && gjson.GetBytes(raw, "chat_template").Exists() {
		drop("chat_template.jinja", "chat_template.json")
	}
}

// newest is the modification time of the newest input: that of everything the
// merge makes.
func (v *view) newest() time.Time {
	var t time.Time
	for _, f := range v.files {
		if f.ModTime.After(t) {
			t = f.ModTime
		}
	}
	return t
}
