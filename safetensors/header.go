package safetensors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

const (
	lengthBytes    = 8           // the little-endian length before the JSON
	maxHeaderBytes = 100_000_000 // of JSON with its padding
)

// Entry is a tensor and its place, relative to the data section.
type Entry struct {
	Info
	Begin, End int64
}

// Header is the content of a file but its data.
type Header struct {
	Metadata  map[string]string // nil when there is none
	Entries   []Entry           // in the order of their data; empty tensors at one offset in header order
	DataStart int64             // where the data section begins in the file
}

// ReadHeader reads and checks the header of a file of size bytes. It allocates
// no more than a small multiple of the header that is really there.
//
// It accepts and refuses what the Rust reference does, with two deviations: a
// tensor or a key of the metadata that occurs twice is refused, and so is a
// dimension of 2^63 or more in an empty tensor.
func ReadHeader(r io.ReaderAt, size int64) (*Header, error) {
	text, err := readHeaderText(r, size)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(text) {
		return nil, &Error{Kind: InvalidHeader, Detail: fmt.Sprintf("at byte %d", invalidUTF8(text))}
	}
	d, err := decodeHeader(text)
	if err != nil {
		return nil, &Error{Kind: InvalidHeaderDeserialization, Detail: err.Error()}
	}
	h := &Header{Metadata: d.metadata, DataStart: lengthBytes + int64(len(text))}
	end, err := h.layOut(d.spans)
	if err == nil || len(d.spans) <= floodEntries {
		err = cmp.Or(refuseDuplicates(d.spans), err)
	}
	if err != nil {
		return nil, err
	}
	if have := uint64(size - h.DataStart); end != have {
		return nil, &Error{Kind: MetadataIncompleteBuffer,
			Detail: fmt.Sprintf("tensors take %d bytes, data section has %d", end, have)}
	}
	return h, nil
}

func readHeaderText(r io.ReaderAt, size int64) ([]byte, error) {
	if size < lengthBytes {
		return nil, &Error{Kind: HeaderTooSmall, Detail: fmt.Sprintf("file has %d bytes", size)}
	}
	var length [lengthBytes]byte
	if err := readFull(r, length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeaderBytes {
		return nil, &Error{Kind: HeaderTooLarge, Detail: fmt.Sprintf("%d bytes", n)}
	}
	if n > uint64(size-lengthBytes) {
		return nil, &Error{Kind: InvalidHeaderLength,
			Detail: fmt.Sprintf("%d bytes in a file of %d", n, size)}
	}
	text := make([]byte, n)
	return text, readFull(r, text, lengthBytes)
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &Error{Kind: IoError, Err: err}
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

// layOut sorts spans by their offsets, demands that each begins where the one
// before ended and has the size of its shape and dtype, and returns where the
// last ends.
func (h *Header) layOut(spans []span) (uint64, error) {
	slices.SortFunc(spans, compareOffsets)
	at := uint64(0)
	for i := range spans {
		s := &spans[i]
		if err := s.check(at); err != nil {
			return 0, err
		}
		at = s.end
	}
	h.Entries = make([]Entry, len(spans))
	for i, s := range spans {
		// An end beyond int64 is also beyond the file, which the caller refuses.
		h.Entries[i] = Entry{Info: s.Info, Begin: int64(s.begin), End: int64(s.end)}
	}
	return at, nil
}

// compareOffsets breaks ties by the place in the header: over a million,
// SortStableFunc takes 2.4 times as long.
func compareOffsets(a, b span) int {
	if a.begin != b.begin {
		return cmp.Compare(a.begin, b.begin)
	}
	if a.end != b.end {
		return cmp.Compare(a.end, b.end)
	}
	return cmp.Compare(a.place, b.place)
}

// check compares the span with the end of the one before it, and with its own
// shape and dtype.
func (s *span) check(at uint64) error {
	if s.end < s.begin {
		return &Error{Kind: InvalidOffset, Tensor: s.Name,
			Detail: fmt.Sprintf("ends at %d before it begins at %d", s.end, s.begin)}
	}
	if s.begin != at {
		return &Error{Kind: InvalidOffset, Tensor: s.Name,
			Detail: fmt.Sprintf("begins at %d, the tensor before it ends at %d", s.begin, at)}
	}
	if slices.ContainsFunc(s.Shape, func(dim int64) bool { return dim < 0 }) {
		return &Error{Kind: ValidationOverflow, Tensor: s.Name, Detail: "dimension of 2^63 or more"}
	}
	size, err := s.Bytes()
	if err != nil {
		return err
	}
	if s.end-s.begin != uint64(size) {
		return &Error{Kind: TensorInvalidInfo, Tensor: s.Name,
			Detail: fmt.Sprintf("%s of shape %s takes %d bytes, offsets span %d", s.DType, shapeText(s.Shape), size, s.end-s.begin)}
	}
	return nil
}

// floodEntries is how many tensors that overlap get a look at their names as
// well. A name that occurs twice is the better message then, but the look takes
// more memory than a flood of millions deserves.
const floodEntries = 1 << 16

// refuseDuplicates is a deviation: the reference keeps the last tensor of a
// name, other readers the first, so such a file means different models to
// different readers.
func refuseDuplicates(spans []span) error {
	seen := make(map[string]struct{}, len(spans))
	for i := range spans {
		name := spans[i].Name
		if _, dup := seen[name]; dup {
			return &Error{Kind: InvalidHeaderDeserialization, Tensor: name, Detail: "duplicate key"}
		}
		seen[name] = struct{}{}
	}
	return nil
}
