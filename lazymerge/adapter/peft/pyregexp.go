package peft

import (
	"fmt"
	"strconv"
	"strings"
)

// translate rewrites a pattern of Python's re into regexp2's (.NET) syntax. Python's
// groups are numbered in order, .NET's named ones after the others, so names become
// numbers, which begin behind the groups that stand before. behind says that p is not
// the beginning of the pattern. What Python's re refuses, and
// what it has and regexp2 has not, is an error.
func translate(p string, groups int, behind bool) (string, error) {
	t := &translator{in: []rune(p), behind: behind, groups: groups, names: make(map[string]int)}
	for t.at < len(t.in) {
		if err := t.step(); err != nil {
			return "", fmt.Errorf("at character %d: %w", t.at, err)
		}
	}
	return t.out.String(), nil
}

type translator struct {
	in     []rune
	at     int
	out    strings.Builder
	behind bool
	groups int
	names  map[string]int
}

func (t *translator) rest() string { return string(t.in[t.at:]) }

func (t *translator) skip(n int) { t.at += n }

func (t *translator) step() error {
	switch c := t.in[t.at]; c {
	case '\\':
		return t.escape(false)
	case '[':
		return t.class()
	case '(':
		return t.group()
	case '{':
		t.brace()
	case '+':
		if t.at > 0 && strings.ContainsRune("*+?}", t.in[t.at-1]) && !t.escaped(t.at-1) {
			return fmt.Errorf("possessive repetition is not supported")
		}
		t.copy(1)
	default:
		t.copy(1)
	}
	return nil
}

// escaped tells whether the character at i follows an odd number of backslashes.
func (t *translator) escaped(i int) bool {
	n := 0
	for i > n && t.in[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}

func (t *translator) copy(n int) {
	t.out.WriteString(string(t.in[t.at : t.at+n]))
	t.at += n
}

// brace: Python reads {,n} as {0,n}, .NET as text.
func (t *translator) brace() {
	if strings.HasPrefix(t.rest(), "{,") {
		t.out.WriteString("{0,")
		t.skip(2)
		return
	}
	t.copy(1)
}

// group handles what follows an opening parenthesis.
func (t *translator) group() error {
	rest := t.rest()
	if !strings.HasPrefix(rest, "(?") {
		t.groups++
		t.copy(1)
		return nil
	}
	for _, same := range []string{"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"} {
		if strings.HasPrefix(rest, same) {
			t.copy(len(same))
			return nil
		}
	}
	switch {
	case strings.HasPrefix(rest, "(?P<"):
		return t.namedGroup()
	case strings.HasPrefix(rest, "(?P="):
		name, err := t.until(4, ')')
		if err != nil {
			return err
		}
		return t.reference(name)
	case strings.HasPrefix(rest, "(?#"):
		_, err := t.until(3, ')')
		return err
	case strings.HasPrefix(rest, "(?("):
		return t.conditional()
	}
	return t.flags()
}

// until consumes n characters and those up to end, which it returns, and end.
func (t *translator) until(n int, end rune) (string, error) {
	for i := t.at + n; i < len(t.in); i++ {
		if t.in[i] == end {
			s := string(t.in[t.at+n : i])
			t.at = i + 1
			return s, nil
		}
	}
	return "", fmt.Errorf("no closing %q", end)
}

func (t *translator) namedGroup() error {
	name, err := t.until(4, '>')
	if err != nil {
		return err
	}
	if _, taken := t.names[name]; taken || name == "" {
		return fmt.Errorf("group name %q is empty or taken", name)
	}
	t.groups++
	t.names[name] = t.groups
	t.out.WriteByte('(')
	return nil
}

func (t *translator) reference(name string) error {
	n, ok := t.names[name]
	if !ok {
		return fmt.Errorf("no group %q", name)
	}
	fmt.Fprintf(&t.out, `(?:\%d)`, n)
	return nil
}

func (t *translator) conditional() error {
	name, err := t.until(3, ')')
	if err != nil {
		return err
	}
	n, ok := t.names[name]
	if !ok {
		if n, err = strconv.Atoi(name); err != nil || n < 1 {
			return fmt.Errorf("no group %q", name)
		}
	}
	fmt.Fprintf(&t.out, "(?(%d)", n)
	return nil
}

// flags handles (?i:…), and (?i) at the very beginning; behind PEFT's prefix, and
// anywhere else, Python refuses the latter.
func (t *translator) flags() error {
	for i := t.at + 2; i < len(t.in); i++ {
		switch c := t.in[i]; {
		case c == ':', c == ')' && t.at == 0 && !t.behind:
			s := string(t.in[t.at+2 : i])
			t.at = i + 1
			t.out.WriteString("(?" + strings.ReplaceAll(s, "u", "") + string(c))
			return nil
		case !strings.ContainsRune("imsxu-", c):
			return fmt.Errorf("group %q is not supported", string(t.in[t.at:i+1]))
		}
	}
	return fmt.Errorf("group without an end")
}

// class copies a set. .NET reads a bracket in it as the beginning of a subtraction.
func (t *translator) class() error {
	t.copy(1)
	if t.at < len(t.in) && t.in[t.at] == '^' {
		t.copy(1)
	}
	for first := true; t.at < len(t.in); first = false {
		switch c := t.in[t.at]; {
		case c == ']' && !first:
			t.copy(1)
			return nil
		case c == ']' || c == '[':
			t.out.WriteByte('\\')
			t.copy(1)
		case c == '\\':
			if err := t.escape(true); err != nil {
				return err
			}
		default:
			t.copy(1)
		}
	}
	return fmt.Errorf("set without an end")
}

func (t *translator) escape(inClass bool) error {
	if t.at+1 == len(t.in) {
		return fmt.Errorf("backslash at the end")
	}
	switch c := t.in[t.at+1]; {
	case c >= '0' && c <= '9':
		return t.number(inClass)
	case c == 'x':
		return t.code(2)
	case c == 'u':
		return t.code(4)
	case c == 'U':
		return t.code(8)
	case c == 'Z' && !inClass:
		t.out.WriteString(`\z`)
		t.skip(2)
	case strings.ContainsRune(`dDsSwWafnrtvb`, c), !inClass && (c == 'A' || c == 'B'):
		t.copy(2)
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return fmt.Errorf(`unknown escape \%c`, c)
	default:
		t.literal(c)
		t.skip(2)
	}
	return nil
}

// literal writes a character that means itself.
func (t *translator) literal(r rune) {
	if r < 0x80 && r != '_' && (r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z') {
		t.out.WriteByte('\\')
	}
	t.out.WriteRune(r)
}

func (t *translator) code(digits int) error {
	if t.at+2+digits > len(t.in) {
		return fmt.Errorf("incomplete escape")
	}
	n, err := strconv.ParseUint(string(t.in[t.at+2:t.at+2+digits]), 16, 32)
	if err != nil || n > 0x10ffff {
		return fmt.Errorf("incomplete escape")
	}
	t.literal(rune(n))
	t.skip(2 + digits)
	return nil
}

// number tells octal escapes from references to groups as Python does: a leading 0
// or three octal digits are a character.
func (t *translator) number(inClass bool) error {
	digits := ""
	for i := t.at + 1; i < len(t.in) && len(digits) < 3 && t.in[i] >= '0' && t.in[i] <= '9'; i++ {
		digits += string(t.in[i])
	}
	octal := leadingOctal(digits)
	if inClass || digits[0] == '0' || len(octal) == 3 {
		n, err := strconv.ParseUint(octal, 8, 9)
		if err != nil || n > 0o377 {
			return fmt.Errorf(`octal escape \%s`, digits)
		}
		t.literal(rune(n))
		t.skip(1 + len(octal))
		return nil
	}
	digits = digits[:min(2, len(digits))]
	n, _ := strconv.Atoi(digits)
	if n > t.groups {
		return fmt.Errorf("no group %d", n)
	}
	fmt.Fprintf(&t.out, `(?:\%d)`, n)
	t.skip(1 + len(digits))
	return nil
}

func leadingOctal(digits string) string {
	for i, c := range digits {
		if c > '7' {
			return digits[:i]
		}
	}
	return digits
}
