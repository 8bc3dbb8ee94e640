package peft

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

const weightsName = "adapter_model.safetensors"

// torchNames are the other names of weights, in the order in which one wins.
var torchNames = []string{"adapter_model.bin", "adapter_model.pt"}

// Options say which findings are warnings instead of errors.
type Options struct {
	AllowUnused    bool                  // tensors without a meaning
	AllowNonFinite bool                  // NaN and infinite values
	HeaderOnly     bool                  // the values are not looked at: no NaN is found, and no zero
	Experts        transform.ExpertOrder // of stacks, in place of what the config says
}

// Open reads the adapter in dir. The recipe keeps the weights file mapped until its
// Close. Errors: those of ReadConfig and of OpenWeights, *NoWeightsError,
// *EmptyError, *FlatError, *UnknownTensorsError, *MissingTensorError, *DuplicateTensorError,
// *RankError, *ModuleError, *NonFiniteError, *WholeModelError.
func Open(dir string, o Options) (*transform.Recipe, error) {
	config, err := ReadConfig(filepath.Join(dir, configName))
	if err != nil {
		return nil, err
	}
	path, err := findWeights(dir)
	if err != nil {
		return nil, err
	}
	file, err := OpenWeights(path)
	if err != nil {
		return nil, err
	}
	recipe, err := parse(config, file, o)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return recipe, nil
}

// findWeights prefers safetensors, as PEFT does.
func findWeights(dir string) (string, error) {
	path := filepath.Join(dir, weightsName)
	_, err := os.Stat(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	for _, name := range torchNames {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
	}
	return "", &NoWeightsError{Dir: dir}
}

// parser collects what the tensors of one file say.
type parser struct {
	typeRule
	config *Config
	file   Weights
	opt    Options
	scan   *scan
	recipe *transform.Recipe

	layers  []*layer
	byName  map[string]*layer
	full    []fullTensor
	places  map[fullPlace]*safetensors.Tensor
	tokens  []tokenTensor
	unknown []string
	shared  map[role]*safetensors.Tensor // of all modules
	used    map[string]bool              // tensors that are in an edit
	probing bool                         // edits are made to see what is missing
	names   map[string]bool              // adapter names left in keys
	named   []string                     // the keys with such a name
	foreign []string                     // keys that PEFT would not take for the adapter's
	heads   map[string]bool              // modules that are torch's MultiheadAttention

	headless []string // heads of a task that the config has trained and the file has not
}

func parse(c *Config, f Weights, o Options) (*transform.Recipe, error) {
	t, err := findMethod(c.Path, c.PeftType)
	if err != nil {
		return nil, err
	}
	p := &parser{
		typeRule: t, config: c, file: f, opt: o,
		byName: make(map[string]*layer), places: make(map[fullPlace]*safetensors.Tensor),
		names: make(map[string]bool), heads: make(map[string]bool),
		shared: make(map[role]*safetensors.Tensor), used: make(map[string]bool),
		recipe: &transform.Recipe{
			Type: c.PeftType, File: f.Path(), TaskType: c.TaskType, BaseHint: c.Base, AutoClass: c.AutoClass,
			Rank: c.Rank, RSLoRA: c.RSLoRA,
			Close: f.Close,
		},
	}
	if err := checkEmpty(f, t.empty); err != nil {
		return nil, err
	}
	if err := checkFlat(f); err != nil {
		return nil, err
	}
	if p.scan, err = scanFile(f, o); err != nil {
		return nil, err
	}
	p.recipe.Warnings = append(p.recipe.Warnings, p.scan.warnings...)
	if err := p.parse(); err != nil {
		return nil, err
	}
	return p.recipe, nil
}

// parse makes the recipe.
func (p *parser) parse() error {
	p.recipe.Replication = p.config.Replication
	p.recipe.TieWeights = p.config.tiesTargets()
	for _, t := range p.file.Tensors() {
		if err := p.collect(t); err != nil {
			return err
		}
	}
	if err := p.settle(); err != nil {
		return err
	}
	for _, step := range []func() error{p.addFull, p.addTokens, p.addLayers, p.checkSaved, p.checkTargets} {
		if err := step(); err != nil {
			return err
		}
	}
	p.addTrained()
	return nil
}

// collect gives a tensor its place by its name.
func (p *parser) collect(t *safetensors.Tensor) error {
	k, ok := p.parseKey(t.Name)
	if !ok || k.depth > 0 && !p.nests(k) || k.below && !p.hasParameters() {
		p.unknown = append(p.unknown, t.Name)
		return nil
	}
	if foreign(t.Name) {
		p.foreign = append(p.foreign, t.Name)
	}
	switch k.role {
	case roleIgnored:
		return nil
	case roleFull:
		return p.collectFull(k, t)
	}
	if k.adapter != "" {
		p.names[k.adapter] = true
		p.named = append(p.named, t.Name)
	}
	switch {
	case k.role == roleTokens:
		return p.collectTokens(k, t)
	case k.shared:
		return p.collectShared(k, t)
	}
	return p.collectLayer(k, t)
}

func (p *parser) collectShared(k tensorKey, t *safetensors.Tensor) error {
	if first := p.shared[k.role]; first != nil {
		return p.same(first, t)
	}
	p.shared[k.role] = t
	return nil
}

// settle reports what collect could not use.
func (p *parser) settle() error {
	if len(p.names) > 1 {
		return &UnsupportedError{Path: p.file.Path(), Type: p.config.PeftType, Field: weightsName,
			Reason: "the file holds several adapters: " + shortList(sortedKeys(p.names))}
	}
	p.warnNames()
	return p.leftOver(p.unknown)
}

// leftOver refuses tensors without a use, or warns of them.
func (p *parser) leftOver(names []string) error {
	if len(names) == 0 {
		return nil
	}
	err := &UnknownTensorsError{File: p.file.Path(), Tensors: names}
	if !p.opt.AllowUnused {
		return err
	}
	p.warn(transform.Unused, names[0], "left out: %v", err)
	return nil
}

func (p *parser) warn(about transform.Concern, tensor, format string, args ...any) {
	p.recipe.Warnings = append(p.recipe.Warnings, transform.Warnf(about, tensor, format, args...))
}

func (p *parser) add(e transform.Edit) {
	p.recipe.Edits = append(p.recipe.Edits, e)
}

// same tells whether a second tensor for one place repeats the first. Errors:
// *DuplicateTensorError when it does not.
func (p *parser) same(first, second *safetensors.Tensor) error {
	equal, err := equalTensors(first, second)
	if err == nil && !equal {
		return &DuplicateTensorError{File: p.file.Path(), Tensors: [2]string{first.Name, second.Name}}
	}
	return err
}

// component is the last part of a module's name.
func component(module string) string {
	return module[strings.LastIndexByte(module, '.')+1:]
}
