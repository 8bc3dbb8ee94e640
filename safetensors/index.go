package safetensors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Index is a model.safetensors.index.json: which file of a sharded model holds
// which tensor.
type Index struct {
	Metadata  map[string]json.RawMessage
	WeightMap map[string]string // tensor to file, relative to the index
}

// ParseIndex reads an index strictly: UTF-8, no key twice, files that are
// strings. Members of the top level that nobody reads are ignored; metadata may
// be absent. Whether the files are safe to open is the caller's question. A
// refusal is an *IndexError.
func ParseIndex(b []byte) (*Index, error) {
	if !utf8.Valid(b) {
		return nil, &IndexError{Detail: fmt.Sprintf("invalid UTF-8 at byte %d", invalidUTF8(b))}
	}
	d := indexDecoder{parser: parser{text: string(b)}}
	seen := map[string]bool{}
	d.object("an object", func(key string) {
		if d.once(seen, key) {
			d.member(key)
		}
	})
	d.end()
	if d.err == nil && !seen["weight_map"] {
		d.reject("weight_map", "is missing")
	}
	if d.err != nil {
		return nil, d.asIndexError()
	}
	return &d.index, nil
}

type indexDecoder struct {
	parser
	index Index
}

func (d *indexDecoder) member(key string) {
	switch {
	case key == "weight_map":
		d.index.WeightMap = map[string]string{}
		d.object("an object for weight_map", d.shard)
	case key == "metadata" && d.peek() != 'n':
		d.index.Metadata = map[string]json.RawMessage{}
		seen := map[string]bool{}
		d.object("an object for metadata", func(key string) {
			if d.once(seen, key) {
				d.index.Metadata[key] = json.RawMessage(d.skip())
			}
		})
	default:
		d.skip()
	}
}

func (d *indexDecoder) shard(tensor string) {
	if _, dup := d.index.WeightMap[tensor]; dup {
		d.reject(tensor, "occurs twice")
		return
	}
	if d.peek() != '"' {
		d.reject(tensor, "file is "+d.found()+"…, not a string")
		return
	}
	d.index.WeightMap[tensor] = d.str("a file name")
}

// once refuses a key that it has seen.
func (d *indexDecoder) once(seen map[string]bool, key string) bool {
	if seen[key] {
		d.reject(key, "occurs twice")
		return false
	}
	seen[key] = true
	return true
}

// reject stops with an error of the index rather than of its JSON.
func (d *indexDecoder) reject(key, detail string) {
	d.fail("")
	d.err = &IndexError{Key: key, Detail: detail}
}

func (d *indexDecoder) asIndexError() error {
	if e, ok := d.err.(*IndexError); ok {
		return e
	}
	return &IndexError{Detail: d.err.Error()}
}

// Encode writes the index as transformers does: two spaces, sorted keys, ASCII,
// a newline. Metadata is written even when nil, since transformers demands it.
func (x *Index) Encode() ([]byte, error) {
	b := []byte("{\n  \"metadata\": {")
	for i, key := range slices.Sorted(maps.Keys(x.Metadata)) {
		if !utf8.ValidString(key) || !utf8.Valid(x.Metadata[key]) {
			return nil, &IndexError{Key: key, Detail: "not UTF-8"}
		}
		b = appendMember(b, i, key)
		var value bytes.Buffer
		if err := json.Indent(&value, x.Metadata[key], "    ", "  "); err != nil {
			return nil, &IndexError{Key: key, Detail: err.Error()}
		}
		b = append(b, value.Bytes()...)
	}
	b = closeObject(b, len(x.Metadata))
	b = append(b, ",\n  \"weight_map\": {"...)
	for i, tensor := range slices.Sorted(maps.Keys(x.WeightMap)) {
		if !utf8.ValidString(tensor) || !utf8.ValidString(x.WeightMap[tensor]) {
			return nil, &IndexError{Key: tensor, Detail: "not UTF-8"}
		}
		b = appendMember(b, i, tensor)
		b = appendASCII(b, x.WeightMap[tensor])
	}
	b = closeObject(b, len(x.WeightMap))
	return append(b, "\n}\n"...), nil
}

func appendMember(b []byte, i int, key string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	b = append(b, "\n    "...)
	b = appendASCII(b, key)
	return append(b, ": "...)
}

func closeObject(b []byte, members int) []byte {
	if members > 0 {
		b = append(b, "\n  "...)
	}
	return append(b, '}')
}

// appendASCII quotes as Python's json does.
func appendASCII(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case ' ' <= r && r < 0x7f:
			b = append(b, byte(r))
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, hi, lo)
		default:
			b = appendControl(b, r)
		}
	}
	return append(b, '"')
}

func appendControl(b []byte, r rune) []byte {
	const short = "\bb\ff\nn\rr\tt"
	for i := 0; i < len(short); i += 2 {
		if rune(short[i]) == r {
			return append(b, '\\', short[i+1])
		}
	}
	return fmt.Appendf(b, `\u%04x`, r)
}
