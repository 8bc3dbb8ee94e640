package resolve

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/dlclark/regexp2"
)

// rule is one weight transform of transformers: WeightRenaming and its kin, or a
// WeightConverter, both directions (core_model_loading.py).
type rule struct {
	Forward half     `json:"f"` // disk to runtime
	Reverse half     `json:"r"`
	Kind    string   `json:"k"` // "", "prefix", "group", "offset", "convert"
	Offset  int      `json:"o"`
	Ops     []string `json:"ops"`
	Sources int      `json:"n"` // with "convert": how many source patterns it has

	scoped        bool
	scope, prefix string // a scoped rule sees names below scope, with or without prefix
	list          int    // rules registered together share it
}

// half is one direction of a rule: an alternation of sources and the targets.
type half struct {
	Pattern string   `json:"s"`
	Targets []string `json:"t"`
	Groups  [][2]int `json:"g"` // source and its group, in the order of the alternation

	once    sync.Once
	re      *regexp2.Regexp
	literal string // every match contains it
}

// longest bounds the names that rules are applied to: the engine backtracks, and
// the longest real name has some 120 bytes.
const longest = 1024

func (h *half) compile() *regexp2.Regexp {
	h.once.Do(func() {
		re, err := regexp2.Compile(h.Pattern, regexp2.None)
		if err != nil {
			return
		}
		h.re, h.literal = re, required(h.Pattern)
	})
	return h.re
}

// find matches the alternation and says which source it was.
func (h *half) find(name string) (m *regexp2.Match, source, group int) {
	re := h.compile()
	if re == nil || len(name) > longest || !strings.Contains(name, h.literal) {
		return nil, 0, 0
	}
	m, err := re.FindStringMatch(name)
	if err != nil || m == nil {
		return nil, 0, 0
	}
	for _, g := range h.Groups {
		if len(m.GroupByNumber(g[1]).Captures) > 0 {
			return m, g[0], g[1]
		}
	}
	return m, 0, 1
}

// within splits off the part of the name that the rule does not see.
func (r *rule) within(name string) (front, rest string, ok bool) {
	if !r.scoped {
		return "", name, true
	}
	scope, prefix := dotted(r.scope), dotted(r.prefix)
	for _, front = range []string{prefix + scope, scope} {
		if rest, ok = strings.CutPrefix(name, front); ok {
			return front, rest, true
		}
	}
	return "", "", false
}

// rename applies one direction of the rule. group carries the state of "group"
// rules, whose later members count only after the first one was seen.
func (r *rule) rename(h *half, offset int, name string, active *bool) (string, bool) {
	front, rest, ok := r.within(name)
	if !ok {
		return name, false
	}
	m, source, group := h.find(rest)
	if m == nil || len(h.Targets) == 0 {
		return name, false
	}
	target := h.Targets[0]
	switch r.Kind {
	case "group":
		if source == 0 {
			*active = true
		} else if !*active {
			return name, false
		}
		if source < len(h.Targets) {
			target = h.Targets[source]
		}
		target = expand(target, m, group)
	case "offset":
		i, err := strconv.Atoi(captured(m, group+1))
		if err != nil {
			return name, false
		}
		target = strings.ReplaceAll(target, `\1`, strconv.Itoa(i+offset))
	default:
		target = strings.ReplaceAll(target, `\1`, captured(m, group+1))
	}
	return front + strings.Replace(rest, m.String(), target, 1), true
}

// convert returns the runtime names that a converter makes of a disk name, and which
// source of the converter that one is.
func (r *rule) convert(name string) (names []string, source int) {
	front, rest, ok := r.within(name)
	if !ok {
		return nil, 0
	}
	m, source, group := r.Forward.find(rest)
	if m == nil {
		return nil, 0
	}
	for _, t := range r.Forward.Targets {
		t = strings.ReplaceAll(t, `\1`, captured(m, group+1))
		names = append(names, front+strings.Replace(rest, m.String(), t, 1))
	}
	return names, source
}

var backref = regexp.MustCompile(`\\(\d+)`)

func expand(target string, m *regexp2.Match, group int) string {
	return backref.ReplaceAllStringFunc(target, func(s string) string {
		i, _ := strconv.Atoi(s[1:])
		return captured(m, group+i)
	})
}

func captured(m *regexp2.Match, group int) string {
	if g := m.GroupByNumber(group); g != nil {
		return g.String()
	}
	return ""
}

func dotted(s string) string {
	if s == "" {
		return ""
	}
	return s + "."
}

// required finds the longest plain run of a pattern's outer level that every
// match must contain, or "" when that is not plain to see.
func required(pattern string) string {
	if strings.ContainsAny(pattern, "|{") {
		return ""
	}
	pattern = strings.TrimSuffix(strings.TrimPrefix(pattern, "("), ")")
	best, run := "", ""
	flush := func() {
		if len(run) > len(best) {
			best = run
		}
		run = ""
	}
	depth := 0
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\' && i+1 < len(pattern):
			i++
			if depth == 0 && strings.IndexByte(`.^$()[]-_`, pattern[i]) >= 0 {
				run += string(pattern[i])
			} else {
				flush()
			}
		case c == '(' || c == '[':
			flush()
			depth++
		case c == ')' || c == ']':
			depth--
		case depth > 0:
		case c == '*' || c == '?':
			if run != "" {
				run = run[:len(run)-1]
			}
			flush()
		case c == '+' || c == '.' || c == '^' || c == '$':
			flush()
		default:
			run += string(c)
		}
	}
	flush()
	return best
}
