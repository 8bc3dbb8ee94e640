package lazymerge

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/transform"
)

// Lost tensors. A config says which modules it means by ends of names or by a pattern,
// and a checkpoint may hold modules that the model in memory has not: layers that
// predict further tokens, keys and values that layers share, towers that a class does
// not load. So what the base has and the config means is missed only where the rest of
// the file, or config.json, shows that the model had it.

// Lost is a module of which the adapter's file should hold more than it does.
type Lost struct {
	Module  string   // as the adapter names it
	Tensors []string // that are missing, as the file would name them
}

// LostError lists what an adapter's file has lost.
type LostError struct {
	Adapter string // the weights file
	Base    string
	Modules []Lost
}

func (e *LostError) Error() string {
	const most = 5
	var parts []string
	for _, l := range e.Modules[:min(most, len(e.Modules))] {
		parts = append(parts, fmt.Sprintf("%s (%s)", l.Module, strings.Join(l.Tensors, ", ")))
	}
	s := fmt.Sprintf("%s: no tensors for %d module(s) that the config means and base %s has: %s",
		e.Adapter, len(e.Modules), e.Base, strings.Join(parts, "; "))
	if n := len(e.Modules) - most; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// checkLost looks for modules that the adapters have lost. Errors: *LostError.
func (p *planner) checkLost() error {
	for i, r := range p.opt.stack.recipes(p.recipe) {
		if r.Trained == nil {
			continue
		}
		s := p.newSurvey(i, r)
		if err := s.walk(); err != nil {
			s.warnings = append(s.warnings, transform.Warnf(transform.TargetsUnread, "", "what the weights have lost cannot be told: %v", err))
		}
		s.addUntrained()
		s.addHead()
		s.addWeights()
		s.addTied()
		if err := s.verdict(); err != nil {
			return p.of(i, err)
		}
	}
	return nil
}

// verdict turns what was booked into an error, or warnings.
func (s *survey) verdict() error {
	if len(s.doubtful) > 0 {
		s.warnings = append(s.warnings, s.doubt())
	}
	if len(s.lost) == 0 {
		return nil
	}
	err := &LostError{Adapter: s.file(s.adapter), Base: s.base.Ref(), Modules: s.list()}
	if !s.opt.AllowMissing {
		return err
	}
	s.warnings = append(s.warnings, transform.Warnf(transform.ModulesLost, err.Modules[0].Module, "taken as untrained: %v", err))
	return nil
}

// survey compares what one adapter was trained on with what its file holds.
type survey struct {
	*planner
	adapter int // its place in a stack
	recipe  *transform.Recipe
	trained *transform.Trained

	namesakes *namesakes
	spellings []spelling
	held      map[string]bool  // every module of the file, and all above them
	kinds     map[string]bool  // the layers of the file without their numbers
	last      map[string]int64 // the highest number in each list of modules, by the file
	stored    map[string]int64 // the same by the base, under the base's names
	counts    []count          // numbers of layers and experts that config.json gives
	sharing   int64            // the first layer that shares keys and values, 0 for none
	params    map[string]bool  // of layers, that the file changes
	vectors   bool             // some of them have one dimension
	convs     bool             // some of them have more than two
	anyBias   bool             // the file holds biases
	wholes    bool             // the file holds modules trained as a whole; without any, addUntrained looks for them

	lost     map[string][]string
	doubtful map[string]string // by the tensor on disk
}

// spelling is how the adapter calls modules of the base, both without their numbers: what
// stands behind these beginnings is the same.
type spelling struct {
	adapter, disk string
	whole         bool  // they are whole names
	more          int64 // the adapter's name ends in one more list, of so many
}

func (p *planner) newSurvey(adapter int, r *transform.Recipe) *survey {
	s := &survey{
		planner: p, adapter: adapter, recipe: r, trained: r.Trained, namesakes: newNamesakes(r.Trained), held: make(map[string]bool), kinds: make(map[string]bool),
		last: make(map[string]int64), stored: make(map[string]int64), lost: make(map[string][]string), params: make(map[string]bool), doubtful: make(map[string]string),
	}
	for module := range r.Trained.Layers {
		module, _, _ = strings.Cut(module, ".base_layer")
		s.note(module)
		s.kinds[unnumbered(module)] = true
	}
	for param := range r.Trained.Whole {
		module, name := cutLast(param)
		s.note(module)
		s.anyBias = s.anyBias || name == "bias"
		s.wholes = s.wholes || r.Trained.Saved(module)
	}
	for _, o := range p.outputs {
		if !o.added {
			noteNumbers(o.name, s.stored)
		}
		for _, e := range o.edits {
			if e.Adapter == adapter {
				s.noteEdit(o, e)
			}
		}
	}
	s.spellings = append(s.spellings, spelling{}) // the base's own names
	slices.SortStableFunc(s.spellings, func(a, b spelling) int { return len(b.disk) - len(a.disk) })
	s.counts = p.layerCounts()
	s.sharing = p.sharedKeys()
	return s
}

// note books a module of the file.
func (s *survey) note(module string) {
	noteNumbers(module, s.last)
	for name := module; !s.held[name]; name, _ = cutLast(name) {
		s.held[name] = true
	}
}

func (s *survey) noteEdit(o *output, e placedEdit) {
	if _, layer := s.trained.Layers[e.Module]; layer {
		s.vectors = s.vectors || len(o.info.Shape) < 2 && e.Param != "bias"
		s.convs = s.convs || len(o.info.Shape) > 2
		s.params[e.Param] = true
	}
	disk, _ := cutLast(o.name)
	module, _, _ := strings.Cut(e.Module, ".base_layer")
	n, m := numbers(module), numbers(disk)
	sp := spelling{adapter: unnumbered(module), disk: unnumbered(disk)}
	switch {
	case slices.Equal(n, m):
		sp.trim()
	case len(n) < len(m) && slices.Equal(n, m[:len(n)]):
		sp.whole = true
	case len(n) == len(m)+1 && slices.Equal(n[:len(m)], m) && e.plane > 0:
		sp.whole, sp.more = true, min(o.info.Shape[0], maxExperts)
	default:
		return
	}
	if !slices.Contains(s.spellings, sp) {
		s.spellings = append(s.spellings, sp)
	}
}

// maxExperts bounds the names that are tried for a stack.
const maxExperts = 1 << 16

// trim takes off what both names end in.
func (sp *spelling) trim() {
	for sp.adapter != "" && sp.disk != "" {
		a, x := cutLast(sp.adapter)
		d, y := cutLast(sp.disk)
		if x != y {
			return
		}
		sp.adapter, sp.disk = a, d
	}
}

// walk looks at every tensor of the base.
func (s *survey) walk() error {
	seen := make(map[string]bool)
	for _, o := range s.outputs {
		module, param := cutLast(o.name)
		if o.added || module == "" {
			continue
		}
		if err := s.walkLoaded(o, seen); err != nil {
			return err
		}
		for _, name := range s.called(module) {
			what, err := s.lacks(name.module, param, o)
			if err != nil {
				return err
			}
			if what != nothing && !s.renamed(name, o) && (s.lost[name.module] != nil || name.known || s.means(name.module, param, o)) {
				s.book(name.module, param, what, o)
			}
		}
	}
	return nil
}

// calling is what the adapter would call a module of the base.
type calling struct {
	module string
	known  bool // the file has a name of this form
}

// called lists what the adapter would call a module of the base: by the spellings that
// know most of its name.
func (s *survey) called(disk string) []calling {
	form, n := unnumbered(disk), numbers(disk)
	most := -1
	var names []calling
	for _, sp := range s.spellings {
		if len(sp.disk) < most {
			break
		}
		for _, name := range sp.of(form, n) {
			most = len(sp.disk)
			names = append(names, calling{name, sp.disk == form})
		}
	}
	return names
}

// of lists what the adapter would call a module of the base, by its form and numbers.
func (sp spelling) of(form string, n []int64) []string {
	rest, ok := cutFront(form, sp.disk)
	if !ok || sp.whole && rest != "" {
		return nil
	}
	if sp.whole && sp.more == 0 {
		n = n[:min(len(n), strings.Count(sp.adapter, "#"))] // an expert's number is not its stack's
	}
	if sp.more == 0 {
		if name, ok := number(join(sp.adapter, rest), n); ok {
			return []string{name}
		}
		return nil
	}
	var all []string
	for i := range sp.more {
		if name, ok := number(sp.adapter, append(n[:len(n):len(n)], i)); ok {
			all = append(all, name)
		}
	}
	return all
}

// means tells whether a name that the adapter could have for a parameter leads to the
// tensor, and the file has no other name for it.
func (s *survey) means(module, param string, o *output) bool {
	for _, e := range o.edits {
		if e.Adapter == s.adapter && e.Module != module {
			return false
		}
	}
	m, err := s.names.Find(module, param)
	return err == nil && m.Name == o.name
}

// lack is what the file should hold of a module and does not.
type lack uint8

const (
	nothing lack = iota
	adapted      // the tensors of its adapter
	whole        // a parameter as it is
)

// lacks tells what the file should hold of a module's parameter and does not.
func (s *survey) lacks(module, param string, o *output) (lack, error) {
	if target, err := s.lacksLayer(module, param, o); target || err != nil {
		return adapted, err
	}
	if s.trained.Whole[module+"."+param] != "" || !s.plain(param, o) {
		return nothing, nil
	}
	t, layer := s.trained, s.trained.Layers[module] != nil
	bias := param == "bias" && s.anyBias && (t.AllBiases || t.LayerBiases && layer)
	if bias || t.WholeLayers && layer || s.wholes && t.Saved(module) {
		return whole, nil
	}
	return nothing, nil
}

// lacksLayer tells whether the config gives the module an adapter that the file has not.
func (s *survey) lacksLayer(module, param string, o *output) (bool, error) {
	switch {
	case s.trained.Targets == nil, s.recipe.Everywhere != nil, s.trained.Layers[module] != nil:
		return false, nil
	case param == "bias" && len(s.params) > 1, len(s.params) == 1 && s.params["bias"] != (param == "bias"):
		return false, nil
	case param != "bias" && len(o.info.Shape) < 2 && !s.vectors:
		return false, nil
	case s.trained.Tied && vocabulary(module):
		return false, nil
	}
	return s.trained.Targets(module)
}

// plain tells a parameter that every module of its kind has from a buffer by its name.
func (s *survey) plain(param string, o *output) bool {
	module, _ := cutLast(o.name)
	switch param {
	case "weight", "in_proj_weight":
		return floating(o.info.DType)
	case "bias":
		return floating(o.info.DType) && len(o.info.Shape) == 1 && s.byName[module+".weight"] != nil
	case "in_proj_bias":
		return floating(o.info.DType)
	}
	return false
}

func (s *survey) book(module, param string, what lack, o *output) {
	switch s.exists(module) {
	case yes:
		tensors := []string{s.namesakes.whole(module, param)}
		if what == adapted {
			tensors = s.namesakes.layer(module)
		}
		for _, t := range tensors {
			if !slices.Contains(s.lost[module], t) {
				s.lost[module] = append(s.lost[module], t)
			}
		}
	case unknown:
		if s.kinds[unnumbered(module)] || s.doubtful[o.name] == "" && s.alone(module, o) {
			s.doubtful[o.name] = module
		}
	}
}

func (s *survey) list() []Lost {
	var all []Lost
	for _, module := range slices.Sorted(maps.Keys(s.lost)) {
		all = append(all, Lost{module, s.lost[module]})
	}
	return all
}

func (s *survey) doubt() transform.Warning {
	const most = 3
	modules := slices.Compact(slices.Sorted(maps.Values(s.doubtful)))
	names := strings.Join(modules[:min(most, len(modules))], ", ")
	if n := len(modules) - most; n > 0 {
		names += fmt.Sprintf(" and %d more", n)
	}
	return transform.Warnf(transform.ModulesLost, modules[0], "the weights hold nothing for %d module(s) that target_modules means and the base has: %s", len(modules), names)
}

// addUntrained books modules that the adapter trained whole and has lost: the base has
// them, so PEFT cannot load it either.
func (s *survey) addUntrained() {
	for _, name := range s.recipe.Untrained {
		if slices.ContainsFunc(slices.Collect(maps.Keys(s.lost)), func(m string) bool { return peft.EndsIn(m, name) }) {
			continue
		}
		if tensor := s.tensorOf(name); tensor != "" {
			module, _ := cutLast(tensor)
			s.lost[module] = []string{"base_model.model." + tensor}
			continue
		}
		s.warnings = append(s.warnings, transform.Warnf(transform.SavedAbsent, name, "the config lists %q as trained, but neither the weights nor the base have such a module", name))
	}
}

// tensorOf is a tensor of the base's modules that modules_to_save means by name, or of one
// that shares its tensor; "" where there is none.
func (s *survey) tensorOf(name string) string {
	if m, err := s.names.Find(name, "weight"); err == nil {
		if module, _ := cutLast(m.Name); peft.EndsIn(module, name) {
			return m.Name
		}
		return name + ".weight"
	}
	for _, slot := range s.c.slots {
		for _, tensor := range append(s.names.TiedTo(slot.name), slot.name) {
			if module, _ := cutLast(tensor); peft.EndsIn(module, name) {
				return tensor
			}
		}
	}
	return ""
}

// addHead books the head of a task that the file has lost: the class that PEFT trained
// has one of them, and PEFT always saves it.
func (s *survey) addHead() {
	names := s.trained.Headless
	if len(names) == 0 {
		return
	}
	for _, name := range names {
		if resolve.TaskHas(s.c.modelType(), s.recipe.TaskType, name) {
			s.lost[name] = []string{"base_model.model." + name + ".weight"}
			return
		}
	}
	for _, name := range names {
		s.warnings = append(s.warnings, transform.Warnf(transform.SavedAbsent, name, "the config lists %q as trained, but the weights hold no tensor of it", name))
	}
}

// addWeights books the weights of heads that are new to the base and of which the file
// has kept the bias alone.
func (s *survey) addWeights() {
	for _, o := range s.outputs {
		module, param := cutLast(o.name)
		if !o.added || o.root != nil || param != "bias" || s.byName[module+".weight"] != nil || s.anyBelow(module) {
			continue
		}
		for _, e := range o.edits {
			if e.Adapter == s.adapter {
				s.lost[e.Module] = append(s.lost[e.Module], s.namesakes.whole(e.Module, "weight"))
			}
		}
	}
}

// addTied books the weight of a module that was trained whole and of which the file has
// kept the bias alone, or the reverse, where the base shares that of another module.
func (s *survey) addTied() {
	others := map[string]string{"weight": "bias", "bias": "weight"}
	for param := range s.trained.Whole {
		module, have := cutLast(param)
		other := others[have]
		if other == "" || !s.trained.Saved(module) || s.trained.Whole[module+"."+other] != "" {
			continue
		}
		if m, err := s.names.Find(module, other); err == nil && m.Tied {
			s.lost[module] = append(s.lost[module], s.namesakes.whole(module, other))
		}
	}
}

// anyBelow tells whether there are tensors of modules below one.
func (s *survey) anyBelow(module string) bool {
	return slices.ContainsFunc(s.outputs, func(o *output) bool {
		return strings.HasPrefix(o.name, module+".") && strings.Count(o.name, ".") > strings.Count(module, ".")+1
	})
}

// vocabulary tells whether a module has a row for each token.
func vocabulary(module string) bool {
	_, leaf := cutLast(module)
	return slices.Contains(peft.Vocabularies, leaf)
}
