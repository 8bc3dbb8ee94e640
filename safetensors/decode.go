package safetensors

import "unsafe"

// metadataKey is the one key of a header that names no tensor.
const metadataKey = "__metadata__"

// span is an entry as the header states it, before any check. Offsets stay
// unsigned since the reference accepts all of 64 bits up to this point.
type span struct {
	Info
	begin, end uint64
	place      int // among the entries of the header
}

// headerDecoder takes from the JSON what serde would: unknown members are
// ignored, an entry may also be an array of its three members in order, and a
// dtype may also be an object with one key.
type headerDecoder struct {
	parser
	metadata map[string]string
	spans    []span
	dims     []int64 // free end of a block that shapes are cut from

	entry entryDecoder
}

// entryDecoder is the entry being read. It is one for all, with its callbacks
// made once, so that an entry allocates nothing: a header has room for four
// million.
type entryDecoder struct {
	span
	have    int // bits of the members read
	next    int // member that the next element of an array is
	member  func(key string)
	element func()
}

// decodeHeader keeps text alive: names share its memory.
func decodeHeader(text []byte) (*headerDecoder, error) {
	// Real entries take some 120 bytes of text each.
	const entryBytes = 100
	d := &headerDecoder{
		parser: parser{text: unsafe.String(unsafe.SliceData(text), len(text))},
		spans:  make([]span, 0, len(text)/entryBytes),
		dims:   []int64{}, // not nil, so that no shape is
	}
	d.entry.member, d.entry.element = d.readMember, d.readElement
	seen := false
	d.object("an object", func(key string) {
		switch {
		case key != metadataKey:
			d.readEntry(key)
		case seen:
			d.fail("duplicate key `%s`", metadataKey)
		default:
			seen = true
			d.readMetadata()
		}
	})
	d.end()
	return d, d.err
}

// readMetadata reads a map of strings, or null, which counts as absent.
func (d *headerDecoder) readMetadata() {
	if d.peek() == 'n' {
		d.literal("null")
		return
	}
	d.metadata = map[string]string{}
	d.object("an object for "+metadataKey, func(key string) {
		if _, dup := d.metadata[key]; dup {
			d.fail("duplicate key `%s` in %s", shorten(key), metadataKey)
			return
		}
		d.metadata[key] = d.str("a string in " + metadataKey)
	})
}

// The members of an entry, in the order of its array form.
const (
	memberDType = 1 << iota
	memberShape
	memberOffsets
	allMembers = memberDType | memberShape | memberOffsets
)

func (d *headerDecoder) readEntry(name string) {
	d.entry.span = span{Info: Info{Name: name}}
	d.entry.have, d.entry.next = 0, memberDType
	if d.peek() == '[' {
		d.array("an array for a tensor", d.entry.element)
	} else {
		d.object("an object for a tensor", d.entry.member)
	}
	if d.err == nil && d.entry.have != allMembers {
		d.fail("tensor `%s` lacks dtype, shape or data_offsets", shorten(name))
	}
	if d.err == nil {
		d.entry.place = len(d.spans)
		d.spans = append(d.spans, d.entry.span)
	}
}

func (d *headerDecoder) readMember(key string) {
	switch key {
	case "dtype":
		d.take(memberDType)
	case "shape":
		d.take(memberShape)
	case "data_offsets":
		d.take(memberOffsets)
	default:
		d.skip()
	}
}

func (d *headerDecoder) readElement() {
	d.take(min(d.entry.next, memberOffsets))
	d.entry.next <<= 1
}

func (d *headerDecoder) take(member int) {
	e := &d.entry
	if e.have&member != 0 {
		d.fail("duplicate or surplus member in tensor `%s`", shorten(e.Name))
		return
	}
	e.have |= member
	switch member {
	case memberDType:
		e.DType = d.dtype()
	case memberShape:
		e.Shape = d.shape()
	case memberOffsets:
		e.begin, e.end = d.offsets()
	}
}

func (d *headerDecoder) dtype() DType {
	var name string
	if d.peek() == '{' {
		name = d.dtypeObject()
	} else {
		name = d.str("a dtype")
	}
	t, ok := ParseDType(name)
	if !ok {
		d.fail("unknown dtype `%s`", shorten(name))
	}
	return t
}

// dtypeObject reads serde's long form of an enum: {"F32": null}.
func (d *headerDecoder) dtypeObject() (name string) {
	n := 0
	d.object("a dtype", func(key string) {
		if n++; n > 1 {
			d.fail("expected a dtype")
			return
		}
		name = key
		d.peek()
		d.literal("null")
	})
	return name
}

// shape reads dimensions; one beyond int64 comes out negative, for layOut to
// refuse.
func (d *headerDecoder) shape() []int64 {
	n := 0
	d.array("an array for shape", func() {
		dim := d.unsigned("a dimension")
		if n == len(d.dims) {
			block := make([]int64, max(512, 2*n))
			copy(block, d.dims[:n])
			d.dims = block
		}
		d.dims[n] = int64(dim)
		n++
	})
	shape := d.dims[:n:n]
	d.dims = d.dims[n:]
	return shape
}

func (d *headerDecoder) offsets() (begin, end uint64) {
	n := 0
	d.array("an array for data_offsets", func() {
		switch v := d.unsigned("an offset"); n {
		case 0:
			begin = v
		case 1:
			end = v
		default:
			d.fail("data_offsets with more than two offsets")
		}
		n++
	})
	if d.err == nil && n != 2 {
		d.fail("data_offsets with less than two offsets")
	}
	return begin, end
}
