package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// dataAlignment is where the data section of a built file may begin: a cache
// line, and the widest vector register.
const dataAlignment = 64

// Layout is a file whose data does not exist yet.
type Layout struct {
	Header  []byte  // length, JSON and padding: all that comes before the data
	Offsets []int64 // where each tensor begins in the file, in the order given to Build
	Size    int64   // of the whole file
}

// Build lays tensors out in the order given. The format leaves no room between
// tensors, so only the data section as a whole begins on a multiple of 64.
func Build(tensors []Info, metadata map[string]string) (*Layout, error) {
	text := append(make([]byte, lengthBytes, 1024+128*len(tensors)), '{')
	text, err := appendMetadata(text, metadata)
	if err != nil {
		return nil, err
	}
	l := &Layout{Offsets: make([]int64, len(tensors))}
	seen := make(map[string]struct{}, len(tensors))
	for i := range tensors {
		t := &tensors[i]
		if _, dup := seen[t.Name]; dup || t.Name == metadataKey {
			return nil, &Error{Kind: JsonError, Tensor: t.Name, Detail: "duplicate or reserved name"}
		}
		seen[t.Name] = struct{}{}
		size, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		if size > math.MaxInt64-maxHeaderBytes-2*dataAlignment-l.Size {
			return nil, &Error{Kind: ValidationOverflow, Tensor: t.Name, Detail: "file beyond 2^63 bytes"}
		}
		l.Offsets[i] = l.Size
		l.Size += size
		if text, err = appendEntry(text, t, l.Offsets[i], l.Size); err != nil {
			return nil, err
		}
	}
	return l, l.seal(append(text, '}'))
}

// seal pads the header, fills its length in, and moves offsets behind it.
func (l *Layout) seal(text []byte) error {
	for len(text)%dataAlignment != 0 {
		text = append(text, ' ')
	}
	n := len(text) - lengthBytes
	if n > maxHeaderBytes {
		return &Error{Kind: HeaderTooLarge, Detail: fmt.Sprintf("%d bytes", n)}
	}
	binary.LittleEndian.PutUint64(text, uint64(n))
	for i := range l.Offsets {
		l.Offsets[i] += int64(len(text))
	}
	l.Header = text
	l.Size += int64(len(text))
	return nil
}

func appendMetadata(b []byte, metadata map[string]string) ([]byte, error) {
	if metadata == nil {
		return b, nil
	}
	b = append(b, `"`+metadataKey+`":{`...)
	for i, key := range slices.Sorted(maps.Keys(metadata)) {
		if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
			return nil, &Error{Kind: JsonError, Detail: fmt.Sprintf("metadata %q is not UTF-8", shorten(key))}
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, key)
		b = append(b, ':')
		b = appendString(b, metadata[key])
	}
	return append(b, '}'), nil
}

func appendEntry(b []byte, t *Info, begin, end int64) ([]byte, error) {
	if !utf8.ValidString(t.Name) {
		return nil, &Error{Kind: JsonError, Tensor: t.Name, Detail: "name is not UTF-8"}
	}
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = appendString(b, t.Name)
	b = append(b, `:{"dtype":"`...)
	b = append(b, t.DType.String()...)
	b = append(b, `","shape":[`...)
	for i, dim := range t.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, dim, 10)
	}
	b = append(b, `],"data_offsets":[`...)
	b = strconv.AppendInt(b, begin, 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, end, 10)
	return append(b, `]}`...), nil
}

// appendString quotes as the reference does: only what JSON demands is escaped.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// writeChunk bounds what Write makes resident at a time.
const writeChunk = 4 << 20

// Write writes a file with these tensors in the order given.
func Write(w io.Writer, metadata map[string]string, tensors []*Tensor) error {
	infos := make([]Info, len(tensors))
	for i, t := range tensors {
		infos[i] = t.Info
	}
	layout, err := Build(infos, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(layout.Header); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := t.writeTo(w); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tensor) writeTo(w io.Writer) error {
	for lo := int64(0); lo < t.Size(); lo += writeChunk {
		b, err := t.Slice(lo, min(lo+writeChunk, t.Size()))
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}
