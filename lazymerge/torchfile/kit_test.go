package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// entry is a record of a zip file.
type entry struct {
	name, content string
	method        uint16
}

// zipOf writes records in this order.
func zipOf(entries ...entry) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.CreateHeader(&zip.FileHeader{Name: e.name, Method: e.method})
		if err == nil {
			_, err = f.Write([]byte(e.content))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// torchZip is a file of torch.save with a pickle and storages "0", "1", …
func torchZip(pickle string, storages ...string) []byte {
	entries := []entry{{name: "archive/data.pkl", content: pickle}, {name: "archive/byteorder", content: "little"}}
	for i, s := range storages {
		entries = append(entries, entry{name: fmt.Sprintf("archive/data/%d", i), content: s})
	}
	return zipOf(append(entries, entry{name: "archive/version", content: "3\n"})...)
}

func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func number(n int64) string { return "L" + fmt.Sprint(n) + "L\n" }

func numbers(n []int64) string {
	s := "("
	for _, v := range n {
		s += number(v)
	}
	return s + "t"
}

// storageID pickles the persistent id of a storage.
func storageID(class, key string, elements int64) string {
	return "(" + text("storage") + "ctorch\n" + class + "\n" + text(key) + text("cpu") + number(elements) + "tQ"
}

// view pickles a tensor.
func view(storage string, offset int64, shape, stride []int64) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(shape) + numbers(stride) + "\x89}tR"
}

// dictOf pickles a dict of names and values.
func dictOf(pairs ...string) string {
	s := "\x80\x02}"
	for i := 0; i < len(pairs); i += 2 {
		s += text(pairs[i]) + pairs[i+1] + "s"
	}
	return s + "."
}

// put writes a file.
func put(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.pt")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// mustOpen opens a file until the test ends.
func mustOpen(t testing.TB, content []byte) *File {
	t.Helper()
	f, err := Open(put(t, content))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// tensorOf is the tensor of a name in a file's dict.
func tensorOf(t testing.TB, f *File, name string) *Tensor {
	t.Helper()
	s, ok := StateDict(f.Root())
	if !ok {
		t.Fatalf("the root is a %T", f.Root())
	}
	for _, n := range s.Tensors {
		if n.Name == name {
			return n.Tensor
		}
	}
	t.Fatalf("no tensor %q", name)
	return nil
}

// legacy is a file of the format before torch 1.6.
func legacy(pickle, keys, storages string) []byte {
	return []byte("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02" + pickle + "." + "\x80\x02" + keys + "." + storages)
}

func count(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }
