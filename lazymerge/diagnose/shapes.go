package diagnose

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"lorafs/safetensors"
)

// head is the size of a file and its first bytes.
type head struct {
	size  int64
	bytes []byte
}

const headBytes = 4096

// readHead reads the beginning of a regular file. ok is false when there is none
// to read.
func readHead(path string) (head, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return head{}, false
	}
	f, err := os.Open(path)
	if err != nil {
		return head{}, false
	}
	defer f.Close()
	b := make([]byte, headBytes)
	n, err := io.ReadFull(f, b)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return head{}, false
	}
	return head{size: info.Size(), bytes: b[:n]}, true
}

// shapes are what stands under the name of a safetensors file without being one,
// each told by its first bytes. The first that fits is meant.
var shapes = []struct {
	code string
	fits func(head) bool
}{
	{"weights-zero-bytes", func(h head) bool { return h.size == 0 }},
	{"weights-lfs-pointer", func(h head) bool { return bytes.HasPrefix(h.bytes, []byte("version https://git-lfs")) }},
	{"weights-pickle", head.pickle},
	{"weights-other-format", head.otherFormat},
	{"weights-error-page", head.text},
	{"weights-too-short", func(h head) bool { return h.size < 8 }},
	{"weights-zero-filled", func(h head) bool { return len(bytes.Trim(h.bytes, "\x00")) == 0 }},
	{"weights-old-empty", func(h head) bool { return bytes.HasPrefix(h.header(), []byte("{},")) }},
}

// shapeOf gives the code of a file's shape, "" when the first bytes tell nothing.
func shapeOf(h head) string {
	for _, s := range shapes {
		if s.fits(h) {
			return s.code
		}
	}
	return ""
}

// otherFile tells the shapes of whole other files, of which the rules of the expected
// format say nothing.
func otherFile(shape string) bool {
	switch shape {
	case "weights-lfs-pointer", "weights-pickle", "weights-other-format", "weights-error-page":
		return true
	}
	return false
}

// begins says how the file begins.
func (h head) begins(path string) string {
	const most = 60
	line, _, _ := bytes.Cut(h.bytes, []byte("\n"))
	return fmt.Sprintf("%q (%d bytes) begins with %q", path, h.size, line[:min(len(line), most)])
}

// header is what stands behind the eight bytes of the length.
func (h head) header() []byte {
	if len(h.bytes) < 8 {
		return nil
	}
	return h.bytes[8:]
}

// pickle knows torch's zip container and a bare pickle of protocol 2 to 5. A
// header length can begin with the same two bytes; its upper half is then zero.
func (h head) pickle() bool {
	if bytes.HasPrefix(h.bytes, []byte("PK\x03\x04")) {
		return true
	}
	b := h.bytes
	return len(b) > 2 && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5 &&
		(len(b) < 8 || binary.LittleEndian.Uint32(b[4:]) != 0)
}

var otherMagics = []string{"GGUF", "\x89HDF\r\n\x1a\n", "\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "7z\xbc\xaf\x27\x1c", "BZh"}

func (h head) otherFormat() bool {
	for _, m := range otherMagics {
		if bytes.HasPrefix(h.bytes, []byte(m)) {
			return true
		}
	}
	return false
}

// text reports whether the file begins as a text, which no safetensors file does:
// its length would be read as more than 2^60 bytes.
func (h head) text() bool {
	const enough = 64
	start := h.bytes[:min(len(h.bytes), enough)]
	for _, c := range start {
		if c < ' ' && !bytes.ContainsRune([]byte("\n\r\t\f"), rune(c)) {
			return false
		}
	}
	for cut := 0; cut < utf8.UTFMax && len(start) > enough-utf8.UTFMax && !utf8.Valid(start); cut++ {
		start = start[:len(start)-1] // the last character may reach beyond
	}
	return len(start) > 1 && utf8.Valid(start)
}

// kindCodes are the codes of errors whose file begins as safetensors do.
var kindCodes = map[safetensors.Kind]string{
	safetensors.InvalidHeader:                "weights-header-not-utf8",
	safetensors.InvalidHeaderDeserialization: "weights-header-broken",
	safetensors.HeaderTooLarge:               "weights-header-too-large",
	safetensors.HeaderTooSmall:               "weights-too-short",
	safetensors.InvalidHeaderLength:          "weights-header-past-end",
	safetensors.TensorNotFound:               "weights-bad-tensor",
	safetensors.TensorInvalidInfo:            "weights-bad-tensor",
	safetensors.InvalidOffset:                "weights-holes",
	safetensors.IoError:                      "file-unreadable",
	safetensors.JsonError:                    "write-refused",
	safetensors.InvalidTensorView:            "weights-bad-tensor",
	safetensors.MetadataIncompleteBuffer:     "weights-truncated",
	safetensors.ValidationOverflow:           "weights-bad-tensor",
	safetensors.MisalignedSlice:              "weights-bad-tensor",
}
