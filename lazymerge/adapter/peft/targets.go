package peft

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"lorafs/lazymerge/transform"
)

const allLinear = "all-linear"

// targets is PEFT's rule for the modules that get an adapter (peft
// tuners/tuners_utils.py, check_target_module_exists @0.21.2).
type targets struct {
	names   map[string]bool // target_modules, or
	pattern string          // a regular expression, compiled when it is needed
	re      *pattern
	err     error

	without        map[string]bool // exclude_modules, or
	withoutPattern *pattern
	layers         []int64          // layers_to_transform; nil: all
	lists          []*regexp.Regexp // layers_pattern: lists of layers

	start time.Time // of the first match
}

// readTargets is nil where the config does not tell the modules. The fields only serve
// to see what is missing, so that one which cannot be read is no error.
func (c *Config) readTargets(v *values, m *method) *targets {
	t := &targets{names: setOf(c.TargetModules), pattern: c.TargetRegexp}
	if m.uses("exclude_modules") {
		names, text := v.namesOrText("exclude_modules")
		t.without = setOf(names)
		if text != "" {
			t.withoutPattern, t.err = compileFull(text)
		}
	}
	if m.uses("layers_to_transform") {
		t.readLayers(v)
	}
	if len(t.names) == 0 && t.pattern == "" || t.names[allLinear] || strings.EqualFold(t.pattern, allLinear) {
		return nil
	}
	return t
}

// anyList finds the number of a layer behind a list of any name.
var anyList = regexp.MustCompile(`^.*?\.[^.]*\.(\d+)\.`)

// readLayers reads layers_to_transform, a number or a list, and layers_pattern.
func (t *targets) readLayers(v *values) {
	const field = "layers_to_transform"
	raw := v.field(field)
	if n, ok := decodeInt(raw); ok {
		t.layers = []int64{n}
	} else if raw != nil && !decodeList(raw, &t.layers) {
		t.err = &FieldError{Path: v.path, Field: field, Value: shorten(raw), Reason: "neither a number nor a list of numbers"}
	}
	names, text := v.namesOrText("layers_pattern")
	if text != "" {
		names = []string{text}
	}
	if len(names) == 0 {
		t.lists = []*regexp.Regexp{anyList}
	}
	for _, name := range names {
		re, err := regexp.Compile(`^(?:|.*?\.)(?:` + name + `)\.(\d+)\.`)
		if err != nil {
			t.err = err
			return
		}
		t.lists = append(t.lists, re)
	}
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// named tells whether target_modules means the module.
func (t *targets) named(module string) (bool, error) {
	if t.pattern == "" {
		return endIn(t.names, module), nil
	}
	if t.re == nil && t.err == nil {
		t.re, t.err = compileFull(t.pattern)
	}
	if t.err != nil {
		return false, t.err
	}
	return t.re.match(module)
}

// match tells whether the module gets an adapter.
func (t *targets) match(module string) (bool, error) {
	field, err := t.leftOutBy(module)
	return field == "" && err == nil, err
}

// leftOutBy names the field of the config by which the module gets no adapter; "" if it
// gets one.
func (t *targets) leftOutBy(module string) (field string, err error) {
	if t.err != nil {
		return "", t.err
	}
	if t.start.IsZero() {
		t.start = time.Now()
	}
	if time.Since(t.start) > patternBudget {
		return "", fmt.Errorf("the patterns together take more than %v", patternBudget)
	}
	if out, err := t.excluded(module); out || err != nil {
		return "exclude_modules", err
	}
	if ok, err := t.named(module); !ok || err != nil {
		return "target_modules", err
	}
	if t.pattern != "" || len(t.layers) == 0 || t.names[module] {
		return "", nil
	}
	if n, ok := t.layerOf(module); !ok || !slices.Contains(t.layers, n) {
		return "layers_to_transform", nil
	}
	return "", nil
}

func (t *targets) excluded(module string) (bool, error) {
	if t.withoutPattern != nil {
		return t.withoutPattern.match(module)
	}
	return endIn(t.without, module), nil
}

// layerOf is the number of the module's layer: the first behind the name of a list.
func (t *targets) layerOf(module string) (int64, bool) {
	for _, re := range t.lists {
		if found := re.FindStringSubmatch(module); found != nil {
			n, err := strconv.ParseInt(found[len(found)-1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// endIn tells whether a set has the name, or an end of it behind a dot.
func endIn(set map[string]bool, name string) bool {
	for len(set) > 0 {
		if set[name] {
			return true
		}
		dot := strings.IndexByte(name, '.')
		if dot < 0 {
			return false
		}
		name = name[dot+1:]
	}
	return false
}

// checkTargets warns of modules that the config gives no adapter: PEFT would drop their
// tensors. It is no error, since names of modules change between versions of
// transformers and patterns do not follow.
func (p *parser) checkTargets() error {
	t := p.config.targets
	if t == nil || p.config.tiesTargets() {
		return nil
	}
	missed := make(map[string][]string) // modules by the field that leaves them out
	for _, l := range p.layers {
		if l.stacked {
			continue
		}
		field, err := t.leftOutBy(l.pattern)
		if err != nil {
			p.warn(transform.TargetsUnread, "", "target_modules cannot be checked: %v", err)
			return nil
		}
		if field != "" {
			missed[field] = append(missed[field], l.module)
		}
	}
	for _, c := range []struct{ field, does string }{
		{"target_modules", "does not match"},
		{"exclude_modules", "leaves out"},
		{"layers_to_transform", "leaves out"},
	} {
		if modules := missed[c.field]; len(modules) > 0 {
			p.warn(transform.TargetsMissed, modules[0], "%s %s %d of %d modules that have adapters: %s", c.field, c.does, len(modules), len(p.layers), shortList(modules))
		}
	}
	return nil
}

// listMatch is PEFT's rule for a list of names.
func (c *Config) listMatch(module string) (bool, error) {
	for _, t := range c.TargetModules {
		if module == t || strings.HasSuffix(module, "."+t) || t == allLinear {
			return true, nil
		}
	}
	return false, nil
}
