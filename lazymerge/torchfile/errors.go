package torchfile

import (
	"fmt"
	"strings"
)

// Kind says what is wrong with a file.
type Kind uint8

const (
	NotTorch      Kind = iota + 1 // neither a zip file of torch.save nor the format before it
	Truncated                     // it ends before its content does
	BadZip                        // the zip file contradicts itself
	Compressed                    // a record is compressed or encrypted
	Overlapping                   // two records share bytes
	BadName                       // a record's name leaves the archive's directory, or occurs twice
	TorchScript                   // of torch.jit.save: a program, not a value
	Tar                           // the format before torch 0.4
	BadPickle                     // the pickle is broken or refused
	MissingRecord                 // a record that the format or the pickle needs is not there
	StorageSize                   // a storage is declared larger than what is there
	BadStorage                    // a storage is described in a way that means nothing
	BadTensor                     // a tensor leaves its storage, or has no sane shape
	UnknownDType                  // elements that have no form here
	NotTensors                    // other values than tensors by their names
	BadIndex                      // the index of a sharded file is refused
	Damaged                       // a record has other bytes than those that were saved
)

var kinds = [...]string{
	0:             "unknown error",
	NotTorch:      "not a torch file",
	Truncated:     "cut short",
	BadZip:        "broken zip file",
	Compressed:    "compressed or encrypted record",
	Overlapping:   "overlapping records",
	BadName:       "refused record name",
	TorchScript:   "a TorchScript program",
	Tar:           "a tar file of torch before 0.4",
	BadPickle:     "refused pickle",
	MissingRecord: "missing record",
	StorageSize:   "storage larger than its record",
	BadStorage:    "invalid storage",
	BadTensor:     "invalid tensor",
	UnknownDType:  "unsupported element type",
	NotTensors:    "other values than named tensors",
	BadIndex:      "refused index",
	Damaged:       "damaged",
}

// String says it in words.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		k = 0
	}
	return kinds[k]
}

// Error says why a file, or a tensor of it, cannot be read.
type Error struct {
	Path   string
	Kind   Kind
	Tensor string // at fault, "" when it is none by name
	Detail string // what was found, "" when the kind says it all
	Err    error  // cause
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Kind.String())
	if e.Tensor != "" {
		b.WriteString(" `" + shorten(e.Tensor) + "`")
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func problem(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Detail: fmt.Sprintf(format, args...)}
}

// shorten keeps a name from outside short and on one line.
func shorten(s string) string {
	const limit = 120
	cut := ""
	if len(s) > limit {
		s, cut = s[:limit], "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")) + cut
}
