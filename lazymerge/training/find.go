package training

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Bounds of what is looked at.
const (
	maxNames = 10_000  // of a directory
	maxFiles = 300     // that are read
	maxBytes = 1 << 20 // of a file
)

// places are sub-directories of a project in which settings are kept.
var places = []string{
	"config", "configs", "conf", "accelerate", "accelerate_config", "accelerate_configs",
	"deepspeed", "deepspeed_config", "deepspeed_configs", "ds_config", "ds_configs",
}

// words are what a file of settings holds at least one of.
var words = [][]byte{
	[]byte("zero_optimization"), []byte("deepspeed"), []byte("fsdp"), []byte("FSDP"), []byte("DEEPSPEED"),
}

// source is a parsed file of settings.
type source struct {
	path string
	doc  object
}

// finder collects the files of a run.
type finder struct {
	root    string // references are followed below it
	seen    map[string]bool
	broken  map[string]bool // seen, cannot be parsed, and not told
	read    int
	sources []source
	pkgs    packages
	risks   []Risk // files that cannot be parsed
}

// find reads what lies at a path: one file, or a directory, where it looks into the usual
// places, the newest checkpoint, and from a checkpoint into the run's directory.
func find(path string) (*finder, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("settings of training: %w", err)
	}
	f := &finder{root: path, seen: map[string]bool{}, broken: map[string]bool{}, pkgs: packages{}}
	if !info.IsDir() {
		f.root = filepath.Dir(path)
		f.settings(path, true)
		f.versions(f.root)
		f.follow()
		return f, nil
	}
	if isCheckpoint(filepath.Base(absolute(path))) {
		f.directory(filepath.Dir(absolute(path)))
	}
	names, err := f.directory(path)
	if err != nil {
		return nil, fmt.Errorf("settings of training: %w", err)
	}
	for _, name := range places {
		if slices.Contains(names, name) {
			f.directory(filepath.Join(path, name))
		}
	}
	if newest := newestCheckpoint(names); newest != "" {
		f.directory(filepath.Join(path, newest))
	}
	f.follow()
	return f, nil
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func isCheckpoint(name string) bool {
	_, ok := checkpointStep(name)
	return ok
}

func checkpointStep(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "checkpoint-")
	step, err := strconv.Atoi(digits)
	return step, ok && err == nil && step >= 0
}

func newestCheckpoint(names []string) string {
	newest, best := "", -1
	for _, name := range names {
		if step, ok := checkpointStep(name); ok && step > best {
			newest, best = name, step
		}
	}
	return newest
}

// directory reads the settings and versions that stand in a directory itself.
func (f *finder) directory(dir string) ([]string, error) {
	names, err := list(dir)
	for _, name := range names {
		f.settings(filepath.Join(dir, name), false)
		f.list(filepath.Join(dir, name))
	}
	return names, err
}

func (f *finder) versions(dir string) {
	names, _ := list(dir) // versions that cannot be listed are not known
	for _, name := range names {
		f.list(filepath.Join(dir, name))
	}
}

func list(dir string) ([]string, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0) // to open a FIFO would wait
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(maxNames)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.Sort(names)
	return names, err
}

// notSettings are JSON files beside an adapter that are none, some of them large.
var notSettings = map[string]bool{
	"adapter_config.json": true, "added_tokens.json": true, "config.json": true, "generation_config.json": true,
	"merges.json": true, "special_tokens_map.json": true, "tokenizer.json": true, "tokenizer_config.json": true,
	"trainer_state.json": true, "vocab.json": true,
}

// settings parses a file by its ending when it holds one of the words. named is that the
// user or another file means it.
func (f *finder) settings(path string, named bool) {
	base := strings.ToLower(filepath.Base(path))
	if base == argumentsName {
		f.arguments(path, named)
		return
	}
	parse := parseYAML
	switch filepath.Ext(base) {
	case ".json", ".hjson":
		parse = parseJSON
	case ".yaml", ".yml":
	default:
		return
	}
	if f.seen[path] && !(named && f.broken[path]) || !named && (notSettings[base] || strings.HasSuffix(base, ".index.json")) {
		return
	}
	f.seen[path] = true
	data, ok := f.text(path)
	if !ok || !named && !holdsWord(data) {
		return
	}
	doc, err := parse(data)
	switch {
	case err == nil:
		f.pkgs.addArguments(path, doc)
		f.sources = append(f.sources, source{path, doc})
	case named || likely(base) || bytes.Contains(data, words[0]):
		f.broken[path] = false
		f.risks = append(f.risks, Risk{Kind: Unreadable, File: path, Detail: "it cannot be parsed: " + err.Error()})
	default:
		f.broken[path] = true // told when another file names it
	}
}

// arguments reads a training_args.bin. A run has one beside each checkpoint, all alike,
// so the first will do.
func (f *finder) arguments(path string, named bool) {
	info, err := os.Stat(path)
	if f.seen[argumentsName] || err != nil || !info.Mode().IsRegular() || info.Size() > maxBytes {
		return
	}
	doc, err := readArguments(path)
	switch {
	case err == nil:
		f.seen[argumentsName] = true
		f.pkgs.addArguments(path, doc)
		f.sources = append(f.sources, source{path, doc})
	case named:
		f.risks = append(f.risks, Risk{Kind: Unreadable, File: path, Detail: "it cannot be read: " + err.Error()})
	}
}

func holdsWord(data []byte) bool {
	return slices.ContainsFunc(words, func(w []byte) bool { return bytes.Contains(data, w) })
}

// likely reports whether a name is that of a file of settings.
func likely(base string) bool {
	return strings.HasPrefix(base, "ds_") || strings.Contains(base, "deepspeed") || strings.Contains(base, "zero") ||
		strings.Contains(base, "accelerate") || base == "default_config.yaml"
}

// list reads a file by its name as a list of versions.
func (f *finder) list(path string) {
	base := strings.ToLower(filepath.Base(path))
	switch base {
	case "environment.yml", "environment.yaml", "conda.yml", "conda.yaml",
		"pyproject.toml", "poetry.lock", "uv.lock", "readme.md":
	default:
		isText := strings.HasSuffix(base, ".txt")
		if !isText || !strings.Contains(base, "requirements") && !strings.Contains(base, "freeze") && !strings.Contains(base, "pip") {
			return
		}
	}
	if key := "list " + path; !f.seen[key] {
		f.seen[key] = true
		if data, ok := f.text(path); ok {
			f.pkgs.readPackages(path, data)
		}
	}
}

// text reads a small regular file. Others are not opened, and opening cannot wait.
func (f *finder) text(path string) ([]byte, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxBytes || f.read >= maxFiles {
		return nil, false
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, false
	}
	defer file.Close()
	f.read++
	data, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	return data, err == nil && len(data) <= maxBytes
}

// follow reads the DeepSpeed configs that settings name, where they lie below the root.
// One that is not there is a risk: what it says is not known.
func (f *finder) follow() {
	for i := 0; i < len(f.sources); i++ {
		from, name := f.sources[i].path, reference(f.sources[i].doc)
		if name == "" {
			continue
		}
		if path := f.resolve(from, name); path != "" {
			f.settings(path, true)
		} else if isConfigName(name) && filepath.Base(from) != argumentsName {
			// Trainer's arguments travel with the adapter, the files of the run do not.
			f.risks = append(f.risks, Risk{Kind: Unreadable, File: from, Detail: fmt.Sprintf(
				"the DeepSpeed config that it names, %s, %s, so what the run saves cannot be judged", name, unfollowed(from, name))})
		}
	}
}

// within tells whether a path lies in a directory.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// unfollowed says why a file that another one names was not read.
func unfollowed(from, name string) string {
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(from), name)
	}
	if _, err := os.Stat(name); err == nil {
		return "lies elsewhere and was not read"
	}
	return "is not here"
}

// isConfigName tells a file's name from the other words that trainers take in its place.
func isConfigName(name string) bool {
	return slices.Contains([]string{".json", ".hjson", ".yaml", ".yml"}, strings.ToLower(filepath.Ext(name)))
}

// resolve finds a file that another one names: beside it, below the root, or below the
// project when the root is one of its places.
func (f *finder) resolve(from, name string) string {
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(absolute(f.root), name)
		if err != nil {
			return ""
		}
		name = rel
	}
	if !filepath.IsLocal(name) {
		return ""
	}
	dirs := []string{filepath.Dir(from), f.root}
	if slices.Contains(places, filepath.Base(absolute(f.root))) {
		dirs = append(dirs, filepath.Dir(absolute(f.root))) // a file of a project, looked at alone
	}
	if here, err := os.Getwd(); err == nil && within(here, absolute(f.root)) {
		dirs = append(dirs, here) // programs take names from where they are started
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}
