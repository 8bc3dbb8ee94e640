package training

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Bounds of a YAML document. Aliases count each time they are followed, so a small file
// cannot become a large one.
const (
	maxDepth = 100
	maxNodes = 100_000
)

// object is a JSON object or YAML mapping. Its values are objects, []any, string, bool,
// nil, int, int64, uint64, float64 or json.Number.
type object = map[string]any

var errNoObject = errors.New("not an object")

// parseJSON reads one JSON object. Comments and trailing commas, which DeepSpeed's Hjson
// takes, are passed over.
func parseJSON(data []byte) (object, error) {
	doc, err := strictJSON(data)
	if err != nil {
		if loose, looseErr := strictJSON(plainJSON(data)); looseErr == nil {
			return loose, nil
		}
	}
	return doc, err
}

func strictJSON(data []byte) (object, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("more than one value")
	}
	o, ok := v.(object)
	if !ok {
		return nil, errNoObject
	}
	return o, nil
}

// plainJSON leaves out comments and the commas before closing brackets.
func plainJSON(data []byte) []byte {
	out := make([]byte, 0, len(data))
	comma := -1 // where a comma stands with nothing but space behind it
	for i := 0; i < len(data); {
		if n := commentLen(data[i:]); n > 0 {
			i += n
			continue
		}
		n := 1
		switch c := data[i]; c {
		case '"':
			n, comma = stringLen(data[i:]), -1
		case ',':
			comma = len(out)
		case '}', ']':
			if comma >= 0 {
				out[comma] = ' '
			}
			comma = -1
		case ' ', '\t', '\r', '\n':
		default:
			comma = -1
		}
		out = append(out, data[i:i+n]...)
		i += n
	}
	return out
}

// commentLen gives the length of the comment that data begins with, 0 for none.
func commentLen(data []byte) int {
	switch {
	case bytes.HasPrefix(data, []byte("#")), bytes.HasPrefix(data, []byte("//")):
		if end := bytes.IndexByte(data, '\n'); end >= 0 {
			return end
		}
		return len(data)
	case bytes.HasPrefix(data, []byte("/*")):
		if end := bytes.Index(data[2:], []byte("*/")); end >= 0 {
			return end + 4
		}
		return len(data)
	}
	return 0
}

// stringLen gives the length of the JSON string that data begins with.
func stringLen(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// parseBase64 reads a JSON object in the URL-safe base64 in which DeepSpeed and accelerate
// take a config on the command line.
func parseBase64(text string) (object, error) {
	data, err := base64.URLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return parseJSON(data)
}

// parseYAML reads the first document of a YAML file.
func parseYAML(data []byte) (object, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, err
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) == 0 {
		return nil, errNoObject
	}
	r := yamlReader{}
	v, err := r.value(root.Content[0], 0)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, errNoObject
	}
	return o, nil
}

// yamlReader turns nodes into values and counts them.
type yamlReader struct{ nodes int }

func (r *yamlReader) value(n *yaml.Node, depth int) (any, error) {
	if r.nodes++; r.nodes > maxNodes {
		return nil, fmt.Errorf("more than %d values", maxNodes)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(n.Alias, depth+1)
	case yaml.MappingNode:
		return r.mapping(n, depth)
	case yaml.SequenceNode:
		list := make([]any, 0, min(len(n.Content), 1000))
		for _, c := range n.Content {
			v, err := r.value(c, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	}
	return scalar(n), nil
}

func (r *yamlReader) mapping(n *yaml.Node, depth int) (any, error) {
	o := object{}
	var merged []object
	for i := 0; i+1 < len(n.Content); i += 2 {
		v, err := r.value(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			continue
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, objects(v)...)
			continue
		}
		o[key.Value] = v
	}
	for _, m := range merged {
		for k, v := range m {
			if _, ok := o[k]; !ok {
				o[k] = v
			}
		}
		if r.nodes += len(m); r.nodes > maxNodes {
			return nil, fmt.Errorf("more than %d values", maxNodes)
		}
	}
	return o, nil
}

// objects gives the objects that a merge key names: one, or a list.
func objects(v any) []object {
	switch v := v.(type) {
	case object:
		return []object{v}
	case []any:
		var all []object
		for _, x := range v {
			if o, ok := x.(object); ok {
				all = append(all, o)
			}
		}
		return all
	}
	return nil
}

// scalar gives the value of a scalar; one that its tag contradicts stays a text.
func scalar(n *yaml.Node) any {
	var v any
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		if n.Decode(&v) == nil {
			return v
		}
	}
	return n.Value
}
