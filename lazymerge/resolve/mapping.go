package resolve

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// mapping turns disk names into the names of one class in memory, as
// transformers does when it loads them (get_model_conversion_mapping).
type mapping struct {
	class    string
	renames  []*rule
	converts []*rule
	all      []*rule // both, in order
	legacy   int     // the list of the legacy spellings
	parts    []part
	sign     string   // mappings of the same sign are the same
	twin     *mapping // an earlier mapping of the same sign, whose index serves
	plain    bool     // numbers in names do not matter to the rules
	names    []string

	once  sync.Once
	index map[string][]target
	disk  map[string]string // disk name to runtime name
	input map[string]string // disk name to the name that a conversion takes, where there is one
	used  map[*rule]bool

	backOnce sync.Once
	back     []*rule // what a new name is reverted by

	tieOnce sync.Once
	tied    map[string][]string
}

// part is a model within the class, itself included.
type part struct {
	path, class, modelType, config string
	info                           *class
}

// target is what a runtime name is made of.
type target struct {
	disk        string
	by          *rule // nil: the tensor itself
	source      int   // with by: which of its sources the tensor is
	part, parts int
}

func (x *Index) newMapping(name string) *mapping {
	m := &mapping{class: name, names: x.base.Names}
	info := classOf(name)
	if info == nil {
		info = &class{Type: x.base.ModelType}
	}
	m.walk(x, part{class: name, modelType: info.Type, info: info}, 0)
	m.register()
	return m
}

// walk lists the models within, parents first, with the classes that the config
// asks for in place of the default ones.
func (m *mapping) walk(x *Index, p part, depth int) {
	m.parts = append(m.parts, p)
	if depth > 8 || p.info == nil {
		return
	}
	for _, c := range p.info.Children {
		config := strings.Trim(p.config+"."+c.Config, ".")
		name, kind := c.Class, c.Type
		if actual := x.text(strings.Trim(config+".model_type", ".")); c.Config != "" && actual != "" && actual != kind {
			name, kind = counterpart(name, kind, actual), actual
		}
		m.walk(x, part{
			path:  strings.Trim(p.path+"."+c.Path, "."),
			class: name, modelType: kind, config: config, info: classOf(name),
		}, depth+1)
	}
}

// counterpart is the class that takes the place of name when the sub-config has
// another model type.
func counterpart(name, from, to string) string {
	f, t := typeOf(from), typeOf(to)
	if t == nil {
		return name
	}
	if f != nil {
		for _, task := range taskOrder {
			if f.Tasks[task] == name && t.Tasks[task] != "" {
				return t.Tasks[task]
			}
		}
	}
	if c := t.Tasks["FEATURE_EXTRACTION"]; c != "" {
		return c
	}
	return name
}

// taskOrder lists the task types from the commonest class of a checkpoint on.
var taskOrder = []string{"CAUSAL_LM", "SEQ_2_SEQ_LM", "FEATURE_EXTRACTION", "SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"}

// register collects the rules of the parts. A part below one that had its rules
// by the same name has them already; a class's rules come before its type's.
func (m *mapping) register() {
	seen := map[string][]string{}
	covered := func(id, path string) bool {
		for _, s := range seen[id] {
			if s == "" || strings.HasPrefix(path, s+".") {
				return true
			}
		}
		return false
	}
	base := ""
	if m.parts[0].info != nil {
		base = m.parts[0].info.Prefix
	}
	for _, p := range m.parts {
		if covered(p.class, p.path) {
			continue
		}
		key, rules := rulesOf(p.class)
		byClass := key != ""
		if !byClass && p.modelType != "" {
			if covered(p.modelType, p.path) {
				continue
			}
			key, rules = rulesOf(p.modelType)
		}
		if key == "" {
			continue
		}
		scope := ""
		if p.path != "" {
			scope = strings.TrimPrefix(strings.TrimPrefix(p.path, base), ".")
		}
		m.add(key, rules, p.path != "", scope, base)
		seen[p.class] = append(seen[p.class], p.path)
		if !byClass && p.modelType != "" {
			seen[p.modelType] = append(seen[p.modelType], p.path)
		}
	}
	key, rules := rulesOf("legacy")
	m.add(key, rules, false, "", "")
	m.legacy = len(m.sign)
	m.plain = m.ignoresNumbers()
}

func (m *mapping) add(key string, rules []rule, scoped bool, scope, base string) {
	m.sign += fmt.Sprintf("%s@%v:%s:%s;", key, scoped, scope, base)
	for i := range rules {
		r := &rules[i]
		r.scoped, r.scope, r.prefix, r.list = scoped, scope, base, len(m.sign)
		m.all = append(m.all, r)
		if r.Kind == "convert" {
			m.converts = append(m.converts, r)
		} else {
			m.renames = append(m.renames, r)
		}
	}
}

// number finds digits in a pattern that stand for themselves.
var number = regexp.MustCompile(`(^|[^A-Za-z_0-9\\])[0-9]`)

func (m *mapping) ignoresNumbers() bool {
	for _, r := range m.all {
		if r.Kind == "offset" || number.MatchString(r.Forward.Pattern) {
			return false
		}
	}
	return true
}

// pass is the state of one run over all disk names.
type pass struct {
	active map[*rule]*bool // of "group" rules: their first member was seen
	used   map[*rule]bool
}

func (p *pass) activity(r *rule) *bool {
	if p == nil {
		t := true
		return &t
	}
	if p.active[r] == nil {
		p.active[r] = new(bool)
	}
	return p.active[r]
}

func (p *pass) mark(r *rule) {
	if p != nil {
		p.used[r] = true
	}
}

// canonical renames a name as the loader renames disk names. Names that are in
// runtime form already stay, mostly.
func (m *mapping) canonical(name string, p *pass) string {
	for _, r := range m.renames {
		if n, ok := r.rename(&r.Forward, r.Offset, name, p.activity(r)); ok {
			name = n
			p.mark(r)
		}
	}
	return name
}

// build applies the rules to every disk name.
func (m *mapping) build() {
	m.once.Do(func() {
		if t := m.twin; t != nil {
			t.build()
			m.index, m.disk, m.input, m.used, m.renames, m.all = t.index, t.disk, t.input, t.used, t.renames, t.all
			m.legacy = t.legacy
			return
		}
		m.index = make(map[string][]target, len(m.names))
		m.disk = make(map[string]string, len(m.names))
		m.input = make(map[string]string)
		p := &pass{active: map[*rule]*bool{}, used: map[*rule]bool{}}
		memo := map[string]made{}
		for _, n := range m.names {
			key, numbers := n, []string(nil)
			if m.plain {
				key, numbers = template(n)
			}
			t, ok := memo[key]
			if !ok {
				t = m.load(key, p)
				memo[key] = t
			}
			m.record(n, t, numbers)
		}
		m.used = p.used
	})
}

// made is what a disk name becomes.
type made struct {
	names  []string
	by     *rule
	source int    // with by: which of its sources this is
	input  string // with by: the name that it takes
}

func (m *mapping) load(name string, p *pass) made {
	runtime := m.canonical(name, p)
	for _, r := range m.converts {
		if names, source := r.convert(runtime); names != nil {
			p.mark(r)
			return made{names, r, source, runtime}
		}
	}
	return made{names: []string{runtime}}
}

func (m *mapping) record(disk string, t made, numbers []string) {
	for i, n := range t.names {
		n = refill(n, numbers)
		if i == 0 {
			m.disk[disk] = n
			if t.by != nil {
				m.input[disk] = refill(t.input, numbers)
			}
		}
		m.index[n] = append(m.index[n], target{disk: disk, by: t.by, source: t.source, part: i, parts: len(t.names)})
	}
}

// Components that are numbers become numbers that no model counts up to, so that
// all layers are one case; refill puts them back.
const templateBase = 900000001

func template(name string) (string, []string) {
	var numbers []string
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			parts[i] = strconv.Itoa(templateBase + len(numbers))
			numbers = append(numbers, p)
		}
	}
	if numbers == nil {
		return name, nil
	}
	return strings.Join(parts, "."), numbers
}

func refill(name string, numbers []string) string {
	if numbers == nil {
		return name
	}
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if len(p) == 9 && p[0] == '9' {
			if n, err := strconv.Atoi(p); err == nil && n >= templateBase && n-templateBase < len(numbers) {
				parts[i] = numbers[n-templateBase]
			}
		}
	}
	return strings.Join(parts, ".")
}
