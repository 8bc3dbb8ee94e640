package peft

import (
	"strings"
	"time"

	"github.com/dlclark/regexp2"
)

// matchTimeout bounds one match: Python would backtrack for ever.
const matchTimeout = 500 * time.Millisecond

// pattern is a regular expression of Python's re module in the two ways that PEFT
// uses them. A pattern of plain characters and dots, as nearly all are, is compared
// without an engine: a config may hold one for every module.
type pattern struct {
	literal string // with '.' for any character
	start   bool   // began with ^
	plain   bool
	re      *regexp2.Regexp
}

// matching is a rule by which a type of PEFT matches the keys of a pattern field with
// the names of modules.
type matching func(key string) (*pattern, error)

// The rules: bySuffix is that of most types.
var (
	bySuffix matching = compileSuffix
	byDot    matching = compileDotted
	byPart   matching = compileSearch
)

// compileDotted prepares re.match(rf".*\.{p}$", name), which FourierFT and C3A use: no
// module at the top matches, and a | in p ends the prefix (peft
// tuners/fourierft/model.py:70 @0.21.2).
func compileDotted(p string) (*pattern, error) {
	text, err := translate(p, 0, true)
	if err != nil {
		return nil, err
	}
	return compile(`\A(?:.*\.` + text + `$)`)
}

// compileSearch prepares re.search(p, name), which OSF uses.
func compileSearch(p string) (*pattern, error) {
	text, err := translate(p, 0, false)
	if err != nil {
		return nil, err
	}
	return compile(text)
}

// compileSuffix prepares re.match(rf"(.*\.)?({p})$", name), PEFT's rule for
// rank_pattern and alpha_pattern (peft utils/other.py:1524 @0.21.2).
func compileSuffix(p string) (*pattern, error) {
	if lit, start, ok := plainPattern(p); ok {
		return &pattern{literal: lit, start: start, plain: true}, nil
	}
	text, err := translate(p, 2, true)
	if err != nil {
		return nil, err
	}
	return compile(`\A(.*\.)?(` + text + `)$`)
}

// compileFull prepares re.fullmatch(p, name), PEFT's rule for a target_modules that
// is a string.
func compileFull(p string) (*pattern, error) {
	text, err := translate(p, 0, false)
	if err != nil {
		return nil, err
	}
	return compile(`\A(?:` + text + `)\z`)
}

func compile(text string) (*pattern, error) {
	re, err := regexp2.Compile(text, regexp2.None)
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = matchTimeout
	return &pattern{re: re}, nil
}

func (p *pattern) match(name string) (bool, error) {
	if p.plain && !strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 || r == '\n' }) {
		return p.matchPlain(name), nil
	}
	if p.plain {
		c, err := compile(`\A(.*\.)?(` + p.source() + `)$`)
		if err != nil {
			return false, err
		}
		p.re = c.re
	}
	return p.re.MatchString(name)
}

func (p *pattern) source() string {
	if p.start {
		return "^" + p.literal
	}
	return p.literal
}

func (p *pattern) matchPlain(name string) bool {
	at := len(name) - len(p.literal)
	if at < 0 || at > 0 && (p.start || name[at-1] != '.') {
		return false
	}
	for i := range len(p.literal) {
		if c := p.literal[i]; c != '.' && c != name[at+i] {
			return false
		}
	}
	return true
}

// plainPattern recognises patterns without operators but a leading ^ and dots.
func plainPattern(p string) (literal string, start, ok bool) {
	literal, start = strings.CutPrefix(p, "^")
	for i := range len(literal) {
		switch c := literal[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
		default:
			return "", false, false
		}
	}
	return literal, start, true
}
