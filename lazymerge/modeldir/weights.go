package modeldir

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"lorafs/safetensors"
)

// stems are the names under which libraries look for weights, in the order in
// which one wins over the next: transformers, diffusers, Mistral's own.
var stems = []string{"model", "diffusion_pytorch_model", "consolidated"}

const weightsExt = ".safetensors"

// choice is the weights of one directory: names in it.
type choice struct {
	index string // "" for a single file
	file  string
}

func (c choice) none() bool { return c.index == "" && c.file == "" }

// choose says which files of a directory are its weights, by the rules of the
// libraries that load it: a single file under the library's own name, an index, a
// variant's index, and last a file that is the only one.
func choose(names map[string]bool, indexed func(index, file string) bool) choice {
	for _, stem := range stems[:2] {
		if c := chooseStem(stem, names, indexed); !c.none() {
			return c
		}
	}
	if others := otherWeightFiles(names); len(others) == 1 {
		return choice{file: others[0]}
	}
	return chooseStem(stems[2], names, indexed)
}

func chooseStem(stem string, names map[string]bool, indexed func(index, file string) bool) choice {
	file, index := stem+weightsExt, stem+weightsExt+".index.json"
	switch {
	case names[index] && names[file] && indexed(index, file):
		return choice{index: index}
	case names[file]:
		return choice{file: file}
	case names[index]:
		return choice{index: index}
	}
	if v := variantIndices(stem, names); len(v) == 1 {
		return choice{index: v[0]}
	}
	return choice{}
}

// variantIndices are the indices of weights in another precision, as
// model.safetensors.index.fp16.json.
func variantIndices(stem string, names map[string]bool) []string {
	var found []string
	for name := range names {
		rest, ok := strings.CutPrefix(name, stem+weightsExt+".index.")
		variant, isJSON := strings.CutSuffix(rest, ".json")
		if ok && isJSON && variant != "" && !strings.Contains(variant, ".") {
			found = append(found, name)
		}
	}
	sort.Strings(found)
	return found
}

// otherWeightFiles are the safetensors files of a directory that could be a model
// under a name of its own.
func otherWeightFiles(names map[string]bool) []string {
	var found []string
	for name := range names {
		if isWeights(name) && !strings.HasPrefix(name, "consolidated") && !isAdapterFile(name) {
			found = append(found, name)
		}
	}
	sort.Strings(found)
	return found
}

func isWeights(name string) bool { return strings.HasSuffix(name, weightsExt) && !hidden(name) }

func isAdapterFile(name string) bool { return leftOutFile(name) == adapterFile }

// shardName is a name that says how many parts there are.
var shardName = regexp.MustCompile(`-0*(\d+)-of-0*(\d+)\.safetensors$`)

func isOneOfSeveral(name string) bool {
	m := shardName.FindStringSubmatch(name)
	return m != nil && m[2] != "1"
}

// component opens the weights of one directory of a base. A directory without any
// gives a *NotModelError.
func (s scope) component(dir string) (Component, error) {
	host := filepath.Join(s.root, filepath.FromSlash(dir))
	names, err := readNames(host)
	if err != nil {
		return Component{}, err
	}
	c := Component{Dir: dir}
	if names["config.json"] {
		c.ConfigPath = path.Join(dir, "config.json")
		if c.Config, err = s.read(filepath.Join(host, "config.json")); err != nil {
			return Component{}, err
		}
		if err := checkConfig(c.Config); err != nil {
			return Component{}, &ConfigError{Path: filepath.Join(host, "config.json"), Err: err}
		}
	}
	chosen := choose(names, func(index, file string) bool { return s.indexNames(filepath.Join(host, index), file) })
	switch {
	case chosen.none() || isOneOfSeveral(chosen.file):
		return Component{}, s.notModel(host, names)
	case chosen.index != "":
		c.IndexPath = path.Join(dir, chosen.index)
		return c, s.sharded(&c, host, chosen.index)
	}
	real, _, err := s.file(filepath.Join(host, chosen.file))
	if err != nil {
		return Component{}, err
	}
	c.Shards = []Shard{{Name: chosen.file, Host: real}}
	return c, nil
}

// indexNames reports whether an index names a file of its own directory. A broken
// index names nothing here; it is reported when it is used.
func (s scope) indexNames(index, file string) bool {
	b, err := s.read(index)
	if err != nil {
		return false
	}
	x, err := safetensors.ParseIndex(b)
	if err != nil {
		return false
	}
	for _, shard := range x.WeightMap {
		if shard == file {
			return true
		}
	}
	return false
}

// sharded fills in the shards that an index names.
func (s scope) sharded(c *Component, host, index string) error {
	indexHost := filepath.Join(host, index)
	b, err := s.read(indexHost)
	if err != nil {
		return err
	}
	if c.Index, err = safetensors.ParseIndex(b); err != nil {
		return &IndexError{Index: indexHost, Err: err}
	}
	names, err := shardNames(c.Index, indexHost)
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range names {
		real, _, err := s.file(filepath.Join(host, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, name)
		case err != nil:
			return err
		}
		c.Shards = append(c.Shards, Shard{Name: name, Host: real})
	}
	if missing != nil {
		return &MissingShardError{Index: indexHost, Names: missing, Of: len(names)}
	}
	return nil
}

// shardNames lists the files of an index, each one checked: a name that leaves the
// directory would show a file that nobody named.
func shardNames(x *safetensors.Index, index string) ([]string, error) {
	seen := make(map[string]bool)
	var names []string
	for _, name := range x.WeightMap {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, &IndexError{Index: index, Err: errors.New("weight_map names no file")}
	}
	if len(names) > maxFiles {
		return nil, &LimitError{Path: index, What: "shards", Limit: maxFiles}
	}
	sort.Strings(names)
	for _, name := range names {
		if reason := badShardName(name); reason != "" {
			return nil, &IndexPathError{Index: index, Name: name, Reason: reason}
		}
	}
	return names, nil
}

func badShardName(name string) string {
	switch {
	case path.IsAbs(name) || strings.Contains(name, "\\"):
		return "only a relative path with slashes may stand here"
	case !filepath.IsLocal(name):
		return "it leaves the directory"
	case path.Clean(name) != name:
		return "the path is not in its shortest form"
	case !strings.HasSuffix(name, weightsExt):
		return "not a safetensors file"
	case isAdapterFile(name):
		return "the name of an adapter"
	}
	for _, part := range strings.Split(name, "/") {
		if hidden(part) {
			return "a hidden file"
		}
	}
	return ""
}

// readNames lists a directory.
func readNames(host string) (map[string]bool, error) {
	entries, err := os.ReadDir(host)
	if err != nil {
		return nil, err
	}
	if len(entries) > maxFiles {
		return nil, &LimitError{Path: host, What: "files", Limit: maxFiles}
	}
	names := make(map[string]bool, len(entries))
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names, nil
}

// notModel says what a directory without usable weights is.
func (s scope) notModel(host string, names map[string]bool) error {
	e := &NotModelError{Path: host}
	if others := otherWeightFiles(names); len(others) > 0 {
		e.Found, e.Names = FoundSeveral, others
		if len(others) == 1 {
			e.Found = FoundShard
		}
		return e
	}
	matching := func(keep func(string) bool) []string {
		var found []string
		for name := range names {
			if keep(name) {
				found = append(found, name)
			}
		}
		sort.Strings(found)
		return found
	}
	if e.Names = matching(isAdapterFile); e.Names != nil {
		e.Found = FoundAdapter
		return e
	}
	if e.Names = matching(func(n string) bool { return leftOutFile(n) == otherFormat }); e.Names != nil {
		e.Found = FoundOtherFormat
		return e
	}
	if e.Names = matching(func(n string) bool { return !hidden(n) && hasWeights(filepath.Join(host, n)) }); e.Names != nil {
		e.Found = FoundBelow
		return e
	}
	e.Found, e.Names = FoundNothing, matching(func(n string) bool { return !hidden(n) })
	return e
}

// hasWeights reports whether a path is a directory with safetensors in it.
func hasWeights(dir string) bool {
	if !isDir(dir) {
		return false
	}
	names, err := readNames(dir)
	if err != nil {
		return false
	}
	for name := range names {
		if isWeights(name) {
			return true
		}
	}
	return false
}
