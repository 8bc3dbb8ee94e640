package pickle

import (
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDigits bounds decimal numbers, whose conversion takes the square of their length.
const maxDigits = 5000

// parseNumber reads the operand of INT, LONG and FLOAT.
func parseNumber(op byte, text string) (any, error) {
	switch {
	case op == opFloat:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil && !strings.Contains(err.Error(), "range") {
			return nil, refuse("number %q", shorten(text))
		}
		return v, nil
	case op == opInt && text == "00":
		return false, nil
	case op == opInt && text == "01":
		return true, nil
	}
	text = strings.TrimSuffix(strings.TrimSpace(text), "L")
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	n, ok := new(big.Int), false
	if len(text) <= maxDigits {
		n, ok = n.SetString(text, 10)
	}
	if !ok {
		return nil, refuse("number %q", shorten(text))
	}
	return n, nil
}

// long pushes a two's complement number, little-endian, as wide as its length says.
func (d *decoder) long(lengthBytes int) error {
	n, err := d.number(lengthBytes)
	if err != nil {
		return err
	}
	b, err := d.bytes(n)
	if err != nil {
		return err
	}
	return d.push(twosComplement(b))
}

func twosComplement(b []byte) any {
	negative := len(b) > 0 && b[len(b)-1]&0x80 != 0
	if len(b) <= 8 {
		var v uint64
		for i, c := range b {
			v |= uint64(c) << (8 * i)
		}
		if negative && len(b) < 8 {
			v |= ^uint64(0) << (8 * len(b))
		}
		return int64(v)
	}
	be := make([]byte, len(b))
	for i, c := range b {
		be[len(b)-1-i] = c
	}
	n := new(big.Int).SetBytes(be)
	if negative {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

// parseText reads the operand of STRING, a Python literal, and of UNICODE, which
// escapes what is no Latin-1.
func parseText(op byte, text string) (any, error) {
	if op == opUnicode {
		return unescape(latin1(text), "uU"), nil
	}
	text = strings.TrimSpace(text)
	if n := len(text); n < 2 || text[0] != text[n-1] || text[0] != '\'' && text[0] != '"' {
		return nil, refuse("string without quotes")
	}
	return unescape(text[1:len(text)-1], "xnrt\\'\"abfv0"), nil
}

// latin1 takes bytes as the characters of their numbers.
func latin1(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// escapes of one letter.
var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '\'': '\'', '"': '"', 'a': 7, 'b': 8, 'f': 12, 'v': 11, '0': 0}

// hexDigits are how many digits follow an escape.
var hexDigits = map[byte]int{'x': 2, 'u': 4, 'U': 8}

// unescape replaces the escapes that are allowed, and leaves the others as they are.
func unescape(s, allowed string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) || !strings.Contains(allowed, s[i+1:i+2]) {
			b.WriteByte(s[i])
			continue
		}
		i++
		n := hexDigits[s[i]]
		if n == 0 {
			b.WriteByte(escapes[s[i]])
			continue
		}
		code, err := strconv.ParseUint(s[i+1:min(i+1+n, len(s))], 16, 32)
		if err != nil || i+1+n > len(s) {
			b.WriteString(s[i-1 : i+1])
			continue
		}
		if n == 2 {
			b.WriteByte(byte(code))
		} else {
			b.WriteRune(rune(code))
		}
		i += n
	}
	return b.String()
}

// shorten keeps text from outside short and on one line.
func shorten(s string) string {
	const limit = 80
	cut := ""
	if len(s) > limit {
		s, cut = s[:limit], "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return utf8.RuneError
		}
		return r
	}, s) + cut
}
