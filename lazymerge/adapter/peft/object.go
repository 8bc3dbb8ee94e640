package peft

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// maxConfig bounds the file that is read: the largest configs (a rank and an alpha
// for every module of a large model) stay below 1 MiB.
const maxConfig = 16 << 20

// member is a key of a JSON object and its value, as in the file.
type member struct {
	key string
	raw json.RawMessage
}

// object keeps a JSON object's order: of several patterns the first that matches
// holds.
type object []member

func (o object) get(key string) (json.RawMessage, bool) {
	for _, m := range o {
		if m.key == key {
			return m.raw, true
		}
	}
	return nil, false
}

// readObject reads a config file. Errors: *ConfigError, *fs.PathError.
func readObject(path string) (object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, err
	}
	o, err := parseConfigText(text)
	if err != nil {
		var c *ConfigError
		if errors.As(err, &c) {
			c.Path = path
		}
		return nil, err
	}
	return o, nil
}

func parseConfigText(text []byte) (object, error) {
	// Editors on Windows put a byte order mark in front; Python's json refuses it,
	// but it does not make the text ambiguous.
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	switch {
	case len(text) > maxConfig:
		return nil, &ConfigError{Reason: fmt.Sprintf("larger than %d bytes", maxConfig)}
	case len(bytes.TrimSpace(text)) == 0:
		return nil, &ConfigError{Reason: "the file is empty"}
	case !utf8.Valid(text):
		return nil, &ConfigError{Reason: "not UTF-8 text"}
	}
	// The whole text first: errors then have places in it.
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, jsonError(text, err)
	}
	o, err := parseObject(text)
	if err != nil {
		return nil, &ConfigError{Reason: err.Error()}
	}
	return o, nil
}

// errNotObject and errDuplicate are what parseObject finds beyond syntax.
var errNotObject = errors.New("not a JSON object")

type duplicateKeyError struct{ key string }

func (e *duplicateKeyError) Error() string { return fmt.Sprintf("key %q occurs twice", e.key) }

// parseObject splits well-formed JSON, an object, into its members.
func parseObject(text []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil {
		return nil, err
	} else if t != json.Delim('{') {
		return nil, errNotObject
	}
	var o object
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if !ok {
			return nil, errNotObject
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		if seen[key] {
			return nil, &duplicateKeyError{key: key}
		}
		seen[key] = true
		o = append(o, member{key: key, raw: raw})
	}
	return o, nil
}

// jsonError names what a reader would not see from Go's message: numbers that
// Python writes and JSON does not have, and a file that was cut.
func jsonError(text []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		if syntax.Offset >= int64(len(text)) && syntax.Error() == "unexpected end of JSON input" {
			return &ConfigError{Reason: "the text ends early"}
		}
		if n := pythonNumber(text, syntax.Offset); n != "" {
			return &ConfigError{Reason: n + " is not a JSON number"}
		}
	}
	return &ConfigError{Reason: "not valid JSON", Err: err}
}

// pythonNumber finds NaN or Infinity at the place of a syntax error.
func pythonNumber(text []byte, offset int64) string {
	at := int(offset) - 1
	if at < 0 || at >= len(text) {
		return ""
	}
	for _, n := range []string{"NaN", "Infinity"} {
		if !bytes.HasPrefix(text[at:], []byte(n)) {
			continue
		}
		if at > 0 && text[at-1] == '-' {
			return "-" + n
		}
		return n
	}
	return ""
}
