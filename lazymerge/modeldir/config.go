package modeldir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

var errEmpty = errors.New("the file is empty")

// checkConfig says why a config.json is no JSON object, by the rules of Python's
// json module, which writes NaN and Infinity as words.
func checkConfig(text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return errEmpty
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(withoutWords(text), &members); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	if members == nil {
		return errors.New("not a JSON object: null")
	}
	return nil
}

// withoutWords puts a number of the same length in the place of NaN and Infinity
// outside of strings.
func withoutWords(text []byte) []byte {
	out := bytes.Clone(text)
	inString := false
	for i := 0; i < len(out); i++ {
		switch c := out[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case bytes.HasPrefix(out[i:], []byte("NaN")):
			i += copy(out[i:], "1e0") - 1
		case bytes.HasPrefix(out[i:], []byte("Infinity")):
			i += copy(out[i:], "1.000000") - 1
		}
	}
	return out
}
