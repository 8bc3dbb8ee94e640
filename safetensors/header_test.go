package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// rawFile makes a file of a header's text and data.
func rawFile(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// checkAccepted holds an accepted file against what the format promises, and
// sends it through Build and back.
func checkAccepted(tb testing.TB, h *Header, data []byte) {
	tb.Helper()
	checkCoverage(tb, h, int64(len(data)))
	checkOtherReader(tb, h, data[lengthBytes:h.DataStart])
	checkRebuilt(tb, h)
}

func checkCoverage(tb testing.TB, h *Header, size int64) {
	tb.Helper()
	at := int64(0)
	for _, e := range h.Entries {
		n, err := e.Bytes()
		if err != nil || e.Begin != at || e.End != at+n {
			tb.Fatalf("tensor %q [%d, %d) with %d bytes, begins at %d: %v", e.Name, e.Begin, e.End, n, at, err)
		}
		at = e.End
	}
	if h.DataStart+at != size {
		tb.Fatalf("tensors end at %d, file at %d", h.DataStart+at, size)
	}
}

// checkOtherReader lets encoding/json read the header too.
func checkOtherReader(tb testing.TB, h *Header, text []byte) {
	tb.Helper()
	var other map[string]json.RawMessage
	if err := json.Unmarshal(text, &other); err != nil {
		tb.Fatalf("encoding/json: %v", err)
	}
	var metadata map[string]string
	if raw, ok := other[metadataKey]; ok {
		if err := json.Unmarshal(raw, &metadata); err != nil {
			tb.Fatalf("encoding/json: %v", err)
		}
		delete(other, metadataKey)
	}
	if !reflect.DeepEqual(metadata, h.Metadata) {
		tb.Fatalf("metadata %q, encoding/json reads %q", h.Metadata, metadata)
	}
	if len(other) != len(h.Entries) {
		tb.Fatalf("%d tensors, encoding/json reads %d", len(h.Entries), len(other))
	}
	for _, e := range h.Entries {
		if _, ok := other[e.Name]; !ok {
			tb.Fatalf("encoding/json has no tensor %q", e.Name)
		}
	}
}

func checkRebuilt(tb testing.TB, h *Header) {
	tb.Helper()
	infos := make([]Info, len(h.Entries))
	for i, e := range h.Entries {
		infos[i] = e.Info
	}
	l, err := Build(infos, h.Metadata)
	if err != nil {
		tb.Fatalf("build: %v", err)
	}
	again, err := ReadHeader(bytes.NewReader(l.Header), l.Size)
	if err != nil {
		tb.Fatalf("built header: %v\n%s", err, l.Header)
	}
	if again.DataStart%dataAlignment != 0 || again.DataStart != int64(len(l.Header)) {
		tb.Fatalf("data begins at %d, header has %d bytes", again.DataStart, len(l.Header))
	}
	if !reflect.DeepEqual(again.Metadata, h.Metadata) || !slices.EqualFunc(again.Entries, h.Entries, sameEntry) {
		tb.Fatalf("built header reads\n%+v\nwant\n%+v", again, h)
	}
	for i, e := range again.Entries {
		if l.Offsets[i] != again.DataStart+e.Begin {
			tb.Fatalf("tensor %q at %d, header says %d", e.Name, l.Offsets[i], again.DataStart+e.Begin)
		}
	}
}

func sameEntry(a, b Entry) bool {
	return a.Name == b.Name && a.DType == b.DType && slices.Equal(a.Shape, b.Shape) && a.Begin == b.Begin && a.End == b.End
}

func FuzzReadHeader(f *testing.F) {
	for _, v := range readKit(f) {
		f.Add(v.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, _ := verdict(t, data); h != nil {
			checkAccepted(t, h, data)
		}
	})
}

func TestReadHeaderContent(t *testing.T) {
	const text = `{"w":{"data_offsets":[4,12],"shape":[2,2],"dtype":"BF16"},` +
		`"__metadata__":{"format":"pt","\u00e9":"\n"},"b\"":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`
	data := rawFile(text, make([]byte, 12)...)
	h, err := ReadHeader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	want := &Header{
		Metadata: map[string]string{"format": "pt", "é": "\n"},
		Entries: []Entry{
			{Info{`b"`, F32, []int64{}}, 0, 4},
			{Info{"w", BF16, []int64{2, 2}}, 4, 12},
		},
		DataStart: int64(8 + len(text)),
	}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("got  %+v\nwant %+v", h, want)
	}
}

func TestEqualOffsetsKeepHeaderOrder(t *testing.T) {
	var names []string
	var b strings.Builder
	for i := range 100 {
		names = append(names, fmt.Sprint("t", (i*37)%100))
		fmt.Fprintf(&b, `,%q:{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`, names[i])
	}
	data := rawFile("{" + b.String()[1:] + "}")
	h, err := ReadHeader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range h.Entries {
		if e.Name != names[i] {
			t.Fatalf("entry %d is %s, want %s", i, e.Name, names[i])
		}
	}
}

// overlapping makes n tensors at the same bytes.
func overlapping(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `,"t%d":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}`, i)
	}
	return rawFile("{"+b.String()[1:]+"}", make([]byte, 16)...)
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostileFilesStayCheap(t *testing.T) {
	flood := overlapping(100_000)
	for _, c := range []struct {
		name  string
		data  []byte
		want  string
		limit uint64
	}{
		{"length beyond the file", rawFile("{}")[:8], "InvalidHeaderLength", 64 << 10},
		{"largest length", []byte{0, 0xe1, 0xf5, 5, 0, 0, 0, 0}, "InvalidHeaderLength", 64 << 10},
		{"open brackets", rawFile(`{"a":` + strings.Repeat("[", 1<<20)), "InvalidHeaderDeserialization", 4 << 20},
		{"overlapping tensors", flood, "InvalidOffset", 8 * uint64(len(flood))},
		{"long shape", rawFile(`{"a":["U8",[` + strings.Repeat("0,", 1<<20) + `0],[0,0]]}`), "ok", 64 << 20},
	} {
		var got string
		if n := allocated(func() { _, got = verdict(t, c.data) }); n > c.limit {
			t.Errorf("%s: %d bytes allocated, limit %d", c.name, n, c.limit)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestReadHeaderReportsReadErrors(t *testing.T) {
	for _, cause := range []error{os.ErrPermission, io.EOF, nil} {
		_, err := ReadHeader(failingReader{cause}, 100)
		e := (*Error)(nil)
		if !errors.As(err, &e) || e.Kind != IoError {
			t.Fatalf("%v: got %v", cause, err)
		}
		want := cause
		if cause == nil || cause == io.EOF {
			want = io.ErrUnexpectedEOF
		}
		if !errors.Is(err, want) {
			t.Errorf("%v: error %v hides the cause", cause, err)
		}
	}
}

func TestErrorTextHasVariantAndSentence(t *testing.T) {
	for k := InvalidHeader; int(k) < len(kinds); k++ {
		e := &Error{Kind: k, Path: "m.safetensors", Tensor: "w", Detail: "why"}
		sentence := strings.ReplaceAll(kinds[k].sentence, "%s", "w")
		for _, part := range []string{"m.safetensors: ", kinds[k].name, sentence, "why"} {
			if !strings.Contains(e.Error(), part) {
				t.Errorf("%q lacks %q", e.Error(), part)
			}
		}
	}
	long := (&Error{Kind: InvalidOffset, Tensor: strings.Repeat("é\x1b", 1e6)}).Error()
	if len(long) > 1000 || strings.Contains(long, "\x1b") {
		t.Errorf("hostile name gives a text of %d bytes", len(long))
	}
	if Kind(200).String() != "Kind(200)" || (&Error{Kind: 200}).Error() == "" {
		t.Error("unknown kind")
	}
}
