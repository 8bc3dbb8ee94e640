package safetensors

import (
	"fmt"
	"strings"
)

// Kind says which rule was broken. The names are the variants of the Rust
// reference's SafeTensorError.
type Kind uint8

const (
	InvalidHeader                Kind = iota + 1 // header is not UTF-8
	InvalidHeaderDeserialization                 // header is not the JSON that the format asks for
	HeaderTooLarge                               // header length above 100,000,000
	HeaderTooSmall                               // file shorter than 8 bytes
	InvalidHeaderLength                          // header reaches past the end of the file
	TensorNotFound                               // no tensor of that name
	TensorInvalidInfo                            // offsets span another size than shape and dtype
	InvalidOffset                                // gap, overlap, or end before begin
	IoError                                      // reading failed
	JsonError                                    // a header cannot be written
	InvalidTensorView                            // data of another size than shape and dtype
	MetadataIncompleteBuffer                     // data section shorter or longer than the tensors
	ValidationOverflow                           // sizes beyond 64 bits
	MisalignedSlice                              // sub-byte elements that fill no whole byte
)

// kinds holds, for each Kind, the variant's name (printed by releases before
// 0.6) and its sentence (printed since). A "%s" takes the tensor's name.
var kinds = [...]struct{ name, sentence string }{
	0:                            {"Kind(0)", "unknown error"},
	InvalidHeader:                {"InvalidHeader", "invalid UTF-8 in header"},
	InvalidHeaderDeserialization: {"InvalidHeaderDeserialization", "invalid JSON in header"},
	HeaderTooLarge:               {"HeaderTooLarge", "header too large"},
	HeaderTooSmall:               {"HeaderTooSmall", "header too small"},
	InvalidHeaderLength:          {"InvalidHeaderLength", "invalid header length"},
	TensorNotFound:               {"TensorNotFound", "tensor `%s` not found"},
	TensorInvalidInfo:            {"TensorInvalidInfo", "invalid shape, data type, or offset for tensor"},
	InvalidOffset:                {"InvalidOffset", "invalid offset for tensor `%s`"},
	IoError:                      {"IoError", "I/O error"},
	JsonError:                    {"JsonError", "JSON error"},
	InvalidTensorView:            {"InvalidTensorView", "tensor can't be created from these bytes"},
	MetadataIncompleteBuffer:     {"MetadataIncompleteBuffer", "incomplete metadata, file not fully covered"},
	ValidationOverflow:           {"ValidationOverflow", "overflow computing buffer size from shape and/or element type"},
	MisalignedSlice:              {"MisalignedSlice", "The slice is slicing for subbytes dtypes, and the slice does not end up at a byte boundary, this is invalid."},
}

// String returns the variant's name.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kinds[k].name
}

// Error says how a file, or what was to become one, breaks the format.
type Error struct {
	Kind   Kind
	Path   string // file, "" when the header did not come from one
	Tensor string // tensor at fault, "" when it is none in particular
	Detail string // what was found, "" when the sentence says it all
	Err    error  // cause, for IoError
}

// Error gives the variant's name and the sentence of the reference, since
// users search for either.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Kind.String())
	b.WriteString(": ")
	b.WriteString(e.sentence())
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(e.Detail)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

func (e *Error) sentence() string {
	k := e.Kind
	if int(k) >= len(kinds) {
		k = 0
	}
	s := kinds[k].sentence
	if strings.Contains(s, "%s") {
		return strings.Replace(s, "%s", shorten(e.Tensor), 1)
	}
	if e.Tensor != "" {
		s += " (`" + shorten(e.Tensor) + "`)"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// shorten keeps a hostile name, which may be 100 MB long and hold control
// characters, from filling a terminal.
func shorten(name string) string {
	const limit = 200
	cut := ""
	if len(name) > limit {
		name, cut = strings.ToValidUTF8(name[:limit], ""), "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, name) + cut
}

// ChangedError says that a file is not what it was when it was opened, so the
// bytes that its header describes are gone.
type ChangedError struct {
	Path   string
	Detail string
}

func (e *ChangedError) Error() string {
	return e.Path + ": file changed since it was opened: " + e.Detail
}

// IndexError says why the text of a shard index is refused.
type IndexError struct {
	Key    string // tensor or member at fault, "" when it is none in particular
	Detail string
}

func (e *IndexError) Error() string {
	if e.Key == "" {
		return "invalid shard index: " + e.Detail
	}
	return fmt.Sprintf("invalid shard index: `%s`: %s", shorten(e.Key), e.Detail)
}

// ConvertError says that there is no conversion between a dtype and float32.
type ConvertError struct {
	DType DType
}

func (e *ConvertError) Error() string {
	return "no conversion between " + e.DType.String() + " and float32"
}
