package safetensors

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how many arrays and objects may be open at a time. serde_json
// refuses the 128th.
const maxDepth = 127

// parser reads JSON as serde_json does. encoding/json cannot stand in: it
// replaces lone surrogates instead of refusing them, nests to 10,000, drops
// the number text that tells 1 from 1.0, and builds one token a number, which
// a hostile header of 100 MB makes expensive.
//
// The first error sticks in err and moves the position to the end, so callers
// check once.
type parser struct {
	text  string // valid UTF-8
	pos   int
	depth int
	err   error
}

// syntaxError is where and why a parser stopped.
type syntaxError struct {
	pos    int
	reason string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.reason, e.pos) }

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = &syntaxError{p.pos, fmt.Sprintf(format, args...)}
	}
	p.pos = len(p.text)
}

// peek skips white space and returns the next byte, 0 at the end. A NUL in the
// text is no token either, so the two need not be told apart.
func (p *parser) peek() byte {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; c {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return c
		}
	}
	return 0
}

// expect skips white space and takes the byte c.
func (p *parser) expect(c byte, what string) bool {
	if p.err != nil {
		return false
	}
	if p.peek() != c {
		p.fail("expected %s, found %s", what, p.found())
		return false
	}
	p.pos++
	return true
}

// found describes the byte at the position for a message.
func (p *parser) found() string {
	if p.pos >= len(p.text) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.pos:])
	return strconv.QuoteRune(r)
}

// end demands that only white space is left.
func (p *parser) end() {
	if p.err == nil && (p.peek() != 0 || p.pos < len(p.text)) {
		p.fail("trailing characters")
	}
}

func (p *parser) enter() bool {
	if p.depth++; p.depth > maxDepth {
		p.fail("recursion limit exceeded")
		return false
	}
	return true
}

// object calls member for each key, with the position at its value. The
// callback must consume the value.
func (p *parser) object(what string, member func(key string)) {
	if !p.expect('{', what) || !p.enter() {
		return
	}
	defer func() { p.depth-- }()
	if p.peek() == '}' {
		p.pos++
		return
	}
	for {
		key := p.str("an object key")
		if !p.expect(':', "':'") {
			return
		}
		if member(key); p.err != nil {
			return
		}
		if p.peek() == '}' {
			p.pos++
			return
		}
		if !p.expect(',', "',' or '}'") {
			return
		}
	}
}

// array calls element with the position at each element. The callback must
// consume it.
func (p *parser) array(what string, element func()) {
	if !p.expect('[', what) || !p.enter() {
		return
	}
	defer func() { p.depth-- }()
	if p.peek() == ']' {
		p.pos++
		return
	}
	for {
		if element(); p.err != nil {
			return
		}
		if p.peek() == ']' {
			p.pos++
			return
		}
		if !p.expect(',', "',' or ']'") {
			return
		}
	}
}

// str reads a string. One without escapes shares the memory of the text.
func (p *parser) str(what string) string {
	if !p.expect('"', what) {
		return ""
	}
	start := p.pos
	for ; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; {
		case c == '"':
			p.pos++
			return p.text[start : p.pos-1]
		case c == '\\':
			return p.escaped(p.text[start:p.pos])
		case c < ' ':
			p.fail("control character in a string")
			return ""
		}
	}
	p.fail("string without an end")
	return ""
}

// escaped goes on from the first escape of a string that began with head.
func (p *parser) escaped(head string) string {
	var b strings.Builder
	b.WriteString(head)
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		switch {
		case c == '"':
			p.pos++
			return b.String()
		case c == '\\':
			b.WriteRune(p.escape())
		case c < ' ':
			p.fail("control character in a string")
		default:
			b.WriteByte(c)
			p.pos++
		}
	}
	p.fail("string without an end")
	return ""
}

// escape reads one escape sequence, with both halves of a surrogate pair.
func (p *parser) escape() rune {
	if p.pos+1 >= len(p.text) {
		p.fail("string without an end")
		return 0
	}
	c := p.text[p.pos+1]
	if c == 'u' {
		return p.unicodeEscape()
	}
	i := strings.IndexByte(`"\/bfnrt`, c)
	if i < 0 {
		p.fail("invalid escape")
		return 0
	}
	p.pos += 2
	return rune("\"\\/\b\f\n\r\t"[i])
}

func (p *parser) unicodeEscape() rune {
	r := p.hex4()
	if !utf16.IsSurrogate(r) {
		return r
	}
	if r < 0xDC00 && strings.HasPrefix(p.text[p.pos:], `\u`) {
		if r = utf16.DecodeRune(r, p.hex4()); r != utf8.RuneError {
			return r
		}
	}
	p.fail("lone surrogate in a string")
	return 0
}

// hex4 reads \uXXXX.
func (p *parser) hex4() rune {
	if len(p.text)-p.pos < 6 {
		p.fail("string without an end")
		return 0
	}
	var r rune
	for _, c := range []byte(p.text[p.pos+2 : p.pos+6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			p.fail("invalid escape")
			return 0
		}
		r = r<<4 | rune(c)
	}
	p.pos += 6
	return r
}

// number returns the text of a number, checked against the grammar of JSON.
func (p *parser) number() string {
	p.peek()
	start := p.pos
	if p.at('-') {
		p.pos++
	}
	if p.at('0') {
		p.pos++
	} else if !p.digits() {
		return ""
	}
	if p.at('.') {
		p.pos++
		if !p.digits() {
			return ""
		}
	}
	if p.at('e') || p.at('E') {
		p.pos++
		if p.at('+') || p.at('-') {
			p.pos++
		}
		if !p.digits() {
			return ""
		}
	}
	return p.text[start:p.pos]
}

func (p *parser) at(c byte) bool { return p.pos < len(p.text) && p.text[p.pos] == c }

func (p *parser) digits() bool {
	start := p.pos
	for p.pos < len(p.text) && '0' <= p.text[p.pos] && p.text[p.pos] <= '9' {
		p.pos++
	}
	if p.pos == start {
		p.fail("expected a digit, found %s", p.found())
		return false
	}
	return true
}

// unsigned reads what serde takes for an unsigned integer: digits only.
func (p *parser) unsigned(what string) uint64 {
	if c := p.peek(); p.err == nil && (c < '0' || c > '9') {
		p.fail("expected %s, found %s", what, p.found())
	}
	if p.err != nil {
		return 0
	}
	start := p.pos
	text := p.number()
	if p.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		p.pos = start
		p.fail("expected %s, found %s", what, shorten(text))
	}
	return n
}

// skip reads a value of any kind that is not used, and returns its text.
func (p *parser) skip() string {
	c := p.peek()
	start := p.pos
	switch {
	case p.err != nil:
		return ""
	case c == '{':
		p.object("an object", func(string) { p.skip() })
	case c == '[':
		p.array("an array", func() { p.skip() })
	case c == '"':
		p.str("a string")
	case c == 't':
		p.literal("true")
	case c == 'f':
		p.literal("false")
	case c == 'n':
		p.literal("null")
	case c == '-' || '0' <= c && c <= '9':
		p.skipNumber()
	default:
		p.fail("expected a value, found %s", p.found())
	}
	if p.err != nil {
		return ""
	}
	return p.text[start:p.pos]
}

// skipNumber refuses what no float64 can hold, as serde_json does even in a
// member that nobody reads.
func (p *parser) skipNumber() {
	text := p.number()
	if p.err != nil || len(text) < 300 && !strings.ContainsAny(text, "eE") {
		return
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil {
		p.fail("number out of range")
	}
}

func (p *parser) literal(word string) {
	if !strings.HasPrefix(p.text[p.pos:], word) {
		p.fail("expected %s", word)
		return
	}
	p.pos += len(word)
}
