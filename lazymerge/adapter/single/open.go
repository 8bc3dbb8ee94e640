package single

import (
	"errors"
	"slices"
	"strings"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// Options say which findings are warnings instead of errors.
type Options struct {
	AllowUnused    bool // tensors without a meaning
	AllowMissing   bool // modules without tensors that their like have
	AllowNonFinite bool // NaN and infinite values
	HeaderOnly     bool // the values are not looked at, but for scales
}

// Open reads the adapter at path. The recipe keeps the file mapped until its Close.
// Errors: those of peft.OpenWeights, *peft.EmptyError, *peft.UnknownTensorsError,
// *peft.MissingTensorError, *peft.DuplicateTensorError, *peft.NonFiniteError,
// *peft.UnsupportedError, *peft.RankError, *peft.ModuleError, *peft.WholeModelError,
// *MetadataError, *ValueError.
func Open(path string, o Options) (*transform.Recipe, error) {
	file, err := peft.OpenWeights(path)
	if err != nil {
		return nil, err
	}
	recipe, err := parse(file, o)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return recipe, nil
}

// layer is a module with the tensors that the file has for it.
type layer struct {
	target
	tensors map[role]*safetensors.Tensor
	order   []role // as in the file
}

// parser collects what the tensors of one file say.
type parser struct {
	file     peft.Weights
	opt      Options
	metadata *metadata
	zero     map[*safetensors.Tensor]bool
	recipe   *transform.Recipe

	layers   []*layer
	byName   map[target]*layer
	unknown  []string
	types    map[string]bool
	silent   []string
	scaled   int      // modules with an alpha
	unscaled []string // modules without one, nor settings
	nought   []string // alphas of 0
	wrapped  bool     // keys begin as those of a PEFT adapter
}

func parse(f peft.Weights, o Options) (*transform.Recipe, error) {
	p := &parser{
		file: f, opt: o, byName: make(map[target]*layer), types: make(map[string]bool),
		recipe: &transform.Recipe{File: f.Path(), Close: f.Close, ByPart: true, BaseHint: notes(f)[baseName]},
	}
	p.recipe.Notes = append(p.recipe.Notes, "rounding: sums in fp32, rounded once; the programs that read such files merge in several ways, and none of them is the rule")
	for _, t := range f.Tensors() {
		if err := p.collect(t); err != nil {
			return nil, err
		}
	}
	names := tensorNames(f)
	if len(p.layers) > 0 && !(ofAdapter(names) && slices.ContainsFunc(p.layers, (*layer).adapts)) {
		return nil, p.noAdapter(names) // perhaps a whole model, whose values are not worth a look
	}
	values, err := peft.ScanValues(f, peft.Options{AllowUnused: o.AllowUnused, AllowNonFinite: o.AllowNonFinite, HeaderOnly: o.HeaderOnly})
	if err != nil {
		return nil, err
	}
	p.zero, p.recipe.Warnings = values.Zero, values.Warnings
	if p.metadata, err = readMetadata(f); err != nil {
		return nil, err
	}
	for _, l := range p.layers {
		if err := p.addLayer(l); err != nil {
			return nil, err
		}
	}
	if err := p.settle(); err != nil {
		return nil, err
	}
	if err := p.checkLikes(); err != nil {
		return nil, err
	}
	p.recipe.Rank = largestRank(p.recipe.Edits)
	return p.recipe, nil
}

// largestRank stands for the rank of a config, which a single file need not have.
func largestRank(edits []transform.Edit) (rank int64) {
	for _, e := range edits {
		if low, ok := e.Transform.(transform.LowRank); ok {
			rank = max(rank, int64(low.Describe().Rank))
		}
	}
	return rank
}

func tensorNames(f peft.Weights) []string {
	var names []string
	for _, t := range f.Tensors() {
		names = append(names, t.Name)
	}
	return names
}

// adapts says whether the module has a tensor that only adapters have.
func (l *layer) adapts() bool {
	return slices.ContainsFunc(l.order, func(r role) bool { return r != roleIA3 })
}

// noAdapter is a file without a module that can be adapted, or a model's.
func (p *parser) noAdapter(names []string) error {
	if ofAdapter(names) {
		return &peft.UnknownTensorsError{File: p.file.Path(), Tensors: names}
	}
	return &peft.WholeModelError{File: p.file.Path(), Tensors: names}
}

// collect gives a tensor its place by its name.
func (p *parser) collect(t *safetensors.Tensor) error {
	at, r, ok := parseKey(t.Name)
	p.wrapped = p.wrapped || strings.HasPrefix(t.Name, peftPrefix)
	if !ok {
		p.unknown = append(p.unknown, t.Name)
		return nil
	}
	l := p.byName[at]
	if l == nil {
		l = &layer{target: at, tensors: make(map[role]*safetensors.Tensor)}
		p.byName[at] = l
		p.layers = append(p.layers, l)
	}
	first := l.tensors[r]
	if first == nil {
		l.tensors[r] = t
		l.order = append(l.order, r)
		return nil
	}
	same, err := peft.EqualTensors(first, t)
	if err == nil && !same {
		err = &peft.DuplicateTensorError{File: p.file.Path(), Tensors: [2]string{first.Name, t.Name}}
	}
	return err
}

// addLayer makes the edits of a module.
func (p *parser) addLayer(l *layer) error {
	var used []algorithm
	for _, a := range algorithms {
		if slices.ContainsFunc(a.marks, l.has) {
			used = append(used, a)
		}
	}
	if len(used) == 0 {
		return p.orphan(l)
	}
	for _, a := range used {
		if err := p.apply(a, l); err != nil {
			return err
		}
	}
	return p.leftOver(l, used)
}

func (p *parser) apply(a algorithm, l *layer) error {
	if a.refused != "" {
		return &peft.UnsupportedError{Path: p.file.Path(), Type: a.name, Field: l.tensors[a.marks[0]].Name, Reason: a.refused, Never: true}
	}
	for _, r := range a.needs {
		if !l.has(r) {
			return p.missing(l, r)
		}
	}
	edits, err := a.edits(p, l)
	if err != nil {
		return err
	}
	for i := range edits {
		if err := transform.Check(edits[i].Transform); err != nil {
			return &peft.ModuleError{File: p.file.Path(), Module: l.name(), Err: err}
		}
		if edits[i].Keys == nil {
			edits[i].Keys = l.keys(a)
		}
	}
	p.types[a.name] = true
	p.recipe.Edits = append(p.recipe.Edits, edits...)
	return nil
}

// leftOver refuses two algorithms for one parameter, and tensors that belong to
// neither of the module's algorithms.
func (p *parser) leftOver(l *layer, used []algorithm) error {
	known := make(map[role]bool)
	onWeight := ""
	for _, a := range used {
		if a.weight {
			mark := l.tensors[l.firstOf(a.marks)].Name
			if onWeight != "" {
				return &peft.DuplicateTensorError{File: p.file.Path(), Tensors: [2]string{onWeight, mark}}
			}
			onWeight = mark
		}
		for _, r := range slices.Concat(a.marks, a.needs, a.options) {
			known[r] = true
		}
	}
	for _, r := range l.order {
		if !known[r] {
			p.unknown = append(p.unknown, l.tensors[r].Name)
		}
	}
	return nil
}

// orphan is a module of which the file has only what belongs to other tensors.
func (p *parser) orphan(l *layer) error {
	for _, r := range []role{roleAlpha, roleMagnitude, rolePEFTMagnitude, roleRescale, roleUpBias} {
		if l.has(r) {
			return p.missing(l, "lora_down.weight or another tensor of an adapter")
		}
	}
	for _, r := range l.order {
		p.unknown = append(p.unknown, l.tensors[r].Name)
	}
	return nil
}

func (l *layer) has(r role) bool { return l.tensors[r] != nil }

func (l *layer) firstOf(roles []role) role {
	return roles[slices.IndexFunc(roles, l.has)]
}

func (p *parser) missing(l *layer, want role) *peft.MissingTensorError {
	var have []string
	for _, r := range l.order {
		have = append(have, l.tensors[r].Name)
	}
	return &peft.MissingTensorError{File: p.file.Path(), Module: l.name(), Want: string(want), Have: have, Lone: p.lone(l)}
}

// name is the module with what stood before it.
func (l *layer) name() string {
	switch {
	case l.prefix == "":
		return l.module
	case l.flat:
		return l.prefix + "_" + l.module
	}
	return l.prefix + "." + l.module
}

// lone lists the low-rank factors of other modules that stand alone: a renamed tensor
// leaves two of them.
func (p *parser) lone(except *layer) []string {
	var keys []string
	for _, l := range p.layers {
		down, up := l.tensors[roleDown], l.tensors[roleUp]
		switch {
		case l == except:
		case down != nil && up == nil:
			keys = append(keys, down.Name)
		case down == nil && up != nil:
			keys = append(keys, up.Name)
		}
	}
	return keys
}

// settle reports what could not be used and sums the recipe up.
func (p *parser) settle() error {
	var types []string
	for _, a := range algorithms {
		if p.types[a.name] && !slices.Contains(types, a.name) {
			types = append(types, a.name)
		}
	}
	p.recipe.Type = strings.Join(types, " + ")
	switch n := len(p.silent); {
	case n > 0 && n == len(p.layers):
		p.warn(transform.Untrained, p.silent[0], "the change of every module is zero, as of an adapter that was not trained: these %d modules stay the base's", n)
	case n > 0:
		p.warn(transform.UntrainedPart, p.silent[0], "the change of %d of %d modules is zero: %s", n, len(p.layers), strings.Join(p.silent[:min(n, 5)], ", "))
	}
	if n := len(p.unscaled); n > 0 && p.scaled > 0 {
		p.warn(transform.AlphaAbsent, p.unscaled[0], "%d of %d modules have no alpha, and a scale of 1: %s", n, n+p.scaled, strings.Join(p.unscaled[:min(n, 5)], ", "))
	}
	if n := len(p.nought); n > 0 {
		p.warn(transform.AlphaZero, p.nought[0], "%d of %d alphas are 0, and the scale of these modules is 1: %s", n, p.scaled, strings.Join(p.nought[:min(n, 5)], ", "))
	}
	if n := p.decomposed(); n > 0 && n < len(p.layers) {
		p.warn(transform.MagnitudePart, "", "%d of %d modules have a magnitude (DoRA); the others are merged without", n, len(p.layers))
	}
	if p.wrapped && !slices.ContainsFunc(p.layers, func(l *layer) bool { return l.has(roleAlpha) }) {
		p.warn(transform.ScaleGuess, "", "the file looks like the weights of a PEFT adapter without its adapter_config.json, which says the scale: 1 is assumed")
	}
	if len(p.unknown) == 0 {
		return nil
	}
	err := &peft.UnknownTensorsError{File: p.file.Path(), Tensors: p.unknown}
	if !p.opt.AllowUnused || len(types) == 0 {
		return err
	}
	p.warn(transform.Unused, p.unknown[0], "left out: %v", err)
	return nil
}

// decomposed counts the modules with a magnitude.
func (p *parser) decomposed() int {
	n := 0
	for _, l := range p.layers {
		if l.has(roleMagnitude) || l.has(rolePEFTMagnitude) {
			n++
		}
	}
	return n
}

func (p *parser) warn(about transform.Concern, tensor, format string, args ...any) {
	p.recipe.Warnings = append(p.recipe.Warnings, transform.Warnf(about, tensor, format, args...))
}

// edit makes an edit of a parameter of the module.
func (l *layer) edit(param string, t transform.Transform) transform.Edit {
	return transform.Edit{Part: l.part, Module: l.module, Flat: l.flat, Param: param, Transform: t}
}

// keys lists the module's tensors that belong to the algorithm's weight, as in the file.
func (l *layer) keys(a algorithm) []string {
	var keys []string
	of := slices.Concat(a.marks, a.needs, a.options)
	for _, r := range l.order {
		if r != roleUpBias && slices.Contains(of, r) {
			keys = append(keys, l.tensors[r].Name)
		}
	}
	return keys
}
