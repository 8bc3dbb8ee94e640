package modeldir

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// OpenBase finds the base model that ref names: a directory, one safetensors file,
// or the id of a repository in the local hub cache. A path that exists as written
// wins. Errors: *NotFoundError, *NotModelError, *IndexError, *IndexPathError,
// *MissingShardError, *LinkError, *FileKindError, *LimitError, *fs.PathError.
func OpenBase(ref string) (*Base, error) {
	host, err := locate(ref)
	if err != nil {
		return nil, err
	}
	if !isDir(host) {
		return openFile(ref, host)
	}
	s, err := newScope(host)
	if err != nil {
		return nil, err
	}
	b := &Base{Ref: ref, Dir: s.root}
	if b.Components, err = s.components(); err != nil {
		return nil, err
	}
	return b, b.list(s)
}

// openFile makes a base of one safetensors file. Its neighbours were not named and
// stay out; the tree shows the file under the name it was given by.
func openFile(ref, host string) (*Base, error) {
	real, err := filepath.EvalSymlinks(host)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(real)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &FileKindError{Path: host, Mode: info.Mode()}
	}
	name := filepath.Base(host)
	switch {
	case !isWeights(name):
		return nil, &NotModelError{Path: host, Found: FoundOtherFormat, Names: []string{name}}
	case isOneOfSeveral(name):
		return nil, &NotModelError{Path: host, Found: FoundShard, Names: []string{name}}
	case isAdapterFile(name):
		return nil, &NotModelError{Path: host, Found: FoundAdapter, Names: []string{name}}
	}
	return &Base{
		Ref: ref, Dir: real, SingleFile: true,
		Files:      []File{{Path: name, Host: real, Size: info.Size(), ModTime: info.ModTime()}},
		Components: []Component{{Shards: []Shard{{Name: name, Host: real}}}},
	}, nil
}

// components finds the directories of weights: the parts of a pipeline, else the
// directory itself.
func (s scope) components() ([]Component, error) {
	if !exists(filepath.Join(s.root, "model_index.json")) {
		c, err := s.component("")
		return []Component{c}, err
	}
	dirs, err := s.pipelineParts()
	if err != nil {
		return nil, err
	}
	var parts []Component
	var found []string
	for _, dir := range dirs {
		c, err := s.component(dir)
		var none *NotModelError
		switch {
		case errors.As(err, &none) && none.Found != FoundSeveral:
			// Tokenizers and schedulers have no weights.
			if none.Found != FoundNothing {
				found = append(found, dir)
			}
		case err != nil:
			return nil, err
		default:
			parts = append(parts, c)
		}
	}
	if parts == nil {
		e := &NotModelError{Path: s.root, Names: found}
		if found != nil {
			e.Found = FoundOtherFormat
		}
		return nil, e
	}
	return parts, nil
}

// pipelineParts lists the directories that model_index.json names, sorted.
func (s scope) pipelineParts() ([]string, error) {
	index := filepath.Join(s.root, "model_index.json")
	b, err := s.read(index)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return nil, &IndexError{Index: index, Err: err}
	}
	var dirs []string
	for name, value := range members {
		var class []*string // ["diffusers", "UNet2DConditionModel"], or [null, null] when absent
		if json.Unmarshal(value, &class) != nil || len(class) != 2 || class[1] == nil {
			continue
		}
		if hidden(name) || filepath.Base(name) != name || !filepath.IsLocal(name) {
			return nil, &IndexPathError{Index: index, Name: name, Reason: "not the name of a sub-directory"}
		}
		real, info, err := s.resolve(filepath.Join(s.root, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case info.IsDir() && real == filepath.Join(s.root, name):
			dirs = append(dirs, name)
		case info.IsDir():
			return nil, &LinkError{Link: filepath.Join(s.root, name), Target: real}
		}
	}
	sort.Strings(dirs)
	return dirs, nil
}

// list fills in Files and LeftOut.
func (b *Base) list(s scope) error {
	l := &lister{scope: s, weights: make(map[string]bool), keepDir: s.sentenceModules()}
	for _, c := range b.Components {
		if err := l.addWeights(c); err != nil {
			return err
		}
	}
	if err := l.list("", 0); err != nil {
		return err
	}
	l.sort()
	b.Files, b.LeftOut = l.files, l.leftOut
	return nil
}

// addWeights lists the shards and the index of a component, which no rule leaves out.
func (l *lister) addWeights(c Component) error {
	var paths []string
	if c.IndexPath != "" {
		paths = append(paths, c.IndexPath)
	}
	for _, s := range c.Shards {
		paths = append(paths, path.Join(c.Dir, s.Name))
	}
	for _, p := range paths {
		f, err := l.scope.treeFile(p)
		if err != nil {
			return err
		}
		l.weights[p] = true
		l.files = append(l.files, f)
	}
	return nil
}

// sentenceModules are the directories of a sentence-transformers model's further
// modules (2_Dense): their weights are no copy of the model's.
func (s scope) sentenceModules() map[string]bool {
	b, err := s.read(filepath.Join(s.root, "modules.json"))
	if err != nil {
		return nil
	}
	var modules []struct {
		Path string `json:"path"`
	}
	if json.Unmarshal(b, &modules) != nil {
		return nil
	}
	keep := make(map[string]bool)
	for _, m := range modules {
		dir := path.Clean(strings.TrimSuffix(m.Path, "/"))
		if dir != "." && filepath.IsLocal(dir) {
			keep[dir] = true
		}
	}
	return keep
}
