package safetensors

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// hostileNames covers every control character and both ends of UTF-8.
func hostileNames() []string {
	names := []string{"", "a", `"`, `\`, "/", "\x7f", "é", "\u2028", "\uFFFD", "😀", "\U0010FFFF", `\u0061`, "<&>", "../x"}
	for c := range 32 {
		names = append(names, fmt.Sprintf("c%c", c))
	}
	return names
}

func TestBuildKeepsOrderAndNames(t *testing.T) {
	var infos []Info
	for i, name := range hostileNames() {
		infos = append(infos, Info{name, DType(1 + i%(len(dtypes)-1)), []int64{int64(8 * (i % 3)), 1}})
	}
	for _, metadata := range []map[string]string{nil, {}, {"b": "1", "a": "\"\\\n", "é": ""}} {
		l, err := Build(infos, metadata)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ReadHeader(bytes.NewReader(l.Header), l.Size)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(h.Metadata, metadata) {
			t.Errorf("metadata %q, want %q", h.Metadata, metadata)
		}
		for i, e := range h.Entries {
			if e.Name != infos[i].Name || e.DType != infos[i].DType || !slices.Equal(e.Shape, infos[i].Shape) {
				t.Errorf("entry %d is %v, want %v", i, e.Info, infos[i])
			}
		}
		checkRebuilt(t, h)
	}
}

func TestBuildText(t *testing.T) {
	l, err := Build([]Info{{"w", BF16, []int64{2, 3}}, {"s", F32, nil}}, map[string]string{"format": "pt"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"s":{"dtype":"F32","shape":[],"data_offsets":[12,16]}}`
	if got := strings.TrimRight(string(l.Header[8:]), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := int64(len(l.Header)); n%64 != 0 || l.Size != n+16 || !slices.Equal(l.Offsets, []int64{n, n + 12}) {
		t.Errorf("header %d, size %d, offsets %v", n, l.Size, l.Offsets)
	}
}

func TestBuildPadsByLessThan64(t *testing.T) {
	for n := range 130 {
		l, err := Build([]Info{{strings.Repeat("n", n), U8, []int64{1}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.TrimRight(string(l.Header), " "); len(l.Header)%64 != 0 || len(l.Header)-len(text) > 63 {
			t.Fatalf("%d bytes with %d of padding", len(l.Header), len(l.Header)-len(text))
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	ok := Info{"a", F32, []int64{2}}
	huge := Info{"h", U8, []int64{math.MaxInt64 / 16}}
	var many []Info
	for i := range 20 {
		many = append(many, Info{fmt.Sprint("h", i), U8, huge.Shape})
	}
	for _, c := range []struct {
		name     string
		tensors  []Info
		metadata map[string]string
		want     Kind
	}{
		{"name twice", []Info{ok, ok}, nil, JsonError},
		{"reserved name", []Info{{metadataKey, F32, nil}}, nil, JsonError},
		{"name not UTF-8", []Info{{"\xff", F32, nil}}, nil, JsonError},
		{"metadata key not UTF-8", nil, map[string]string{"\xff": ""}, JsonError},
		{"metadata value not UTF-8", nil, map[string]string{"a": "\xff"}, JsonError},
		{"metadata too large", nil, map[string]string{"a": strings.Repeat("x", maxHeaderBytes)}, HeaderTooLarge},
		{"no dtype", []Info{{"a", Unknown, nil}}, nil, TensorInvalidInfo},
		{"no such dtype", []Info{{"a", 200, nil}}, nil, TensorInvalidInfo},
		{"negative dimension", []Info{{"a", F32, []int64{-1}}}, nil, TensorInvalidInfo},
		{"half a byte", []Info{{"a", F4, []int64{3}}}, nil, MisalignedSlice},
		{"overflow", []Info{{"a", F32, []int64{math.MaxInt64, 2}}}, nil, ValidationOverflow},
		{"file beyond int64", many, nil, ValidationOverflow},
	} {
		_, err := Build(c.tensors, c.metadata)
		if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

type fullWriter struct{ left int }

func (w *fullWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return w.left, io.ErrShortWrite
	}
	w.left -= len(p)
	return len(p), nil
}

func TestWrite(t *testing.T) {
	a, err := FromBytes(Info{"a", U8, []int64{writeChunk + 3}}, bytes.Repeat([]byte{1, 2, 3}, (writeChunk+3)/3+1)[:writeChunk+3])
	if err != nil {
		t.Fatal(err)
	}
	empty, err := FromBytes(Info{"e", F32, []int64{0}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tensors := []*Tensor{empty, a}
	var b bytes.Buffer
	if err := Write(&b, nil, tensors); err != nil {
		t.Fatal(err)
	}
	h, err := ReadHeader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes()[h.DataStart:], a.data) || h.Entries[0].Name != "e" {
		t.Error("data or order differ")
	}
	for _, room := range []int{0, int(h.DataStart), b.Len() - 1} {
		if err := Write(&fullWriter{room}, nil, tensors); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("room for %d bytes: %v", room, err)
		}
	}
	if err := Write(io.Discard, nil, []*Tensor{a, a}); err == nil {
		t.Error("the same name twice is accepted")
	}
}
