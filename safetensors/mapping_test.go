package safetensors

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestMapping: a tensor is a range of a file of any format.
func TestMapping(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Map(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.Tensor(Info{Name: "t", DType: U16, Shape: []int64{2}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := v.Slice(1, 4); err != nil || string(b) != "456" || v.Path() != path {
		t.Errorf("%q, %v, %s", b, err, v.Path())
	}
	for _, begin := range []int64{-1, 7, 11, 1 << 62} {
		_, err := m.Tensor(Info{Name: "t", DType: U16, Shape: []int64{2}}, begin)
		if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != InvalidTensorView {
			t.Errorf("at %d: %v", begin, err)
		}
	}
	b := make([]byte, 4)
	if n, err := m.ReadAt(b, 8); n != 2 || err != io.EOF || string(b[:n]) != "89" {
		t.Errorf("the end: %d, %v", n, err)
	}
	if n, err := m.ReadAt(b, 6); n != 4 || err != nil {
		t.Errorf("the last four: %d, %v", n, err)
	}
	if _, err := m.ReadAt(b, 11); err == nil {
		t.Error("a read behind the end")
	}
	if err := os.Truncate(path, 7); err != nil {
		t.Fatal(err)
	}
	changed := (*ChangedError)(nil)
	if _, err := m.ReadAt(b, 6); !errors.As(err, &changed) {
		t.Errorf("what was cut off: %v", err)
	}
	if err := m.Unchanged(); !errors.As(err, &changed) {
		t.Errorf("unchanged: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := m.ReadAt(b, 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := v.Slice(0, 1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestEmptyMapping(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Map(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.Tensor(Info{Name: "t", DType: F32, Shape: []int64{0}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := v.Slice(0, 0); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Map(t.TempDir()); err == nil {
		t.Error("a directory is mapped")
	}
}
