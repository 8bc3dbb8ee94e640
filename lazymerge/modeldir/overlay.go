package modeldir

import (
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// overlayNames are the files of an adapter that win over the base's: all that
// turns text, images and sound into numbers, and how to generate. Weights, the
// adapter's config, the state of the training and Python code are not among them:
// code runs with the trust that was given to the base.
var overlayNames = regexp.MustCompile(`^(` + strings.Join([]string{
	`tokenizer\.json`, `tokenizer_config\.json`, `tokenizer\.model(\.v\d+)?`, `tekken\.json`,
	`special_tokens_map\.json`, `added_tokens\.json`, `vocab\.[\w.-]+`, `merges\.txt`, `[\w.-]+\.tiktoken`,
	`spiece\.model`, `sentencepiece\.bpe\.model`, `spm\.model`, `(source|target)\.spm`, `normalizer\.json`,
	`chat_template\.(jinja|json)`, `generation_config\.json`,
	`((image|video|feature)_)?(pre)?processor_config\.json`, `(image|video|audio)_preprocessor_config\.json`,
}, "|") + `)$`)

// chatTemplates is where transformers keeps the templates beside the default one.
const chatTemplates = "additional_chat_templates"

// overlay lists the files of an adapter directory that belong in the tree.
func (s scope) overlay() ([]File, error) {
	files, err := s.overlayIn("", func(name string) bool {
		return overlayNames.MatchString(name) && leftOutFile(name) == ""
	})
	if err != nil || !isDir(filepath.Join(s.root, chatTemplates)) {
		return files, err
	}
	more, err := s.overlayIn(chatTemplates, func(name string) bool { return path.Ext(name) == ".jinja" })
	files = append(files, more...)
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return files, err
}

func (s scope) overlayIn(dir string, wanted func(name string) bool) ([]File, error) {
	host, _, err := s.resolve(filepath.Join(s.root, dir))
	if err != nil {
		return nil, nil // a linked directory that leaves is left out as a linked file is
	}
	names, err := readNames(host)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, name := range sorted(names) {
		if hidden(name) || !wanted(name) {
			continue
		}
		if f, err := s.treeFile(path.Join(dir, name)); err == nil {
			files = append(files, f)
		}
	}
	return files, nil
}
