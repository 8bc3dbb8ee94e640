package safetensors

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bigFile writes a file with an odd header length and one tensor of size bytes.
func bigFile(t *testing.T, size int) (path string, data []byte) {
	t.Helper()
	data = make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7 / 3)
	}
	path = filepath.Join(t.TempDir(), "m.safetensors")
	var shape [1]int64
	shape[0] = int64(size)
	l, err := Build([]Info{{"w", U8, shape[:]}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := string(bytes.TrimRight(l.Header[lengthBytes:], " ")) + " "
	if len(text)%2 == 0 {
		text += " "
	}
	if err := os.WriteFile(path, rawFile(text, data...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func openFile(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestSliceBounds(t *testing.T) {
	const size = populateChunk + 12345
	path, data := bigFile(t, size)
	f := openFile(t, path)
	w := f.Tensor("w")
	if w == nil || f.Tensor("x") != nil || len(f.Tensors()) != 1 || f.Path() != path || f.Size() != f.Header().DataStart+size {
		t.Fatal("handle differs from the file")
	}
	for _, r := range [][2]int64{{0, 0}, {0, 1}, {0, size}, {size, size}, {size - 1, size}, {4095, 4097}, {1, populateChunk + 1}, {777777, 777777}} {
		got, err := w.Slice(r[0], r[1])
		if err != nil || !bytes.Equal(got, data[r[0]:r[1]]) || cap(got) != len(got) {
			t.Errorf("slice %v: %v", r, err)
		}
	}
	for _, r := range [][2]int64{{-1, 0}, {0, size + 1}, {2, 1}, {size + 1, size + 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("slice %v does not panic", r)
				}
			}()
			w.Slice(r[0], r[1])
		}()
	}
}

func TestSliceConcurrently(t *testing.T) {
	path, data := bigFile(t, 1<<20)
	w := openFile(t, path).Tensor("w")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for lo := int64(i * 1000); lo < 1<<20; lo += 70001 {
				hi := min(lo+90001, 1<<20)
				if got, err := w.Slice(lo, hi); err != nil || !bytes.Equal(got, data[lo:hi]) {
					t.Errorf("slice [%d:%d]: %v", lo, hi, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTruncationBecomesAnError(t *testing.T) {
	path, _ := bigFile(t, 4<<20)
	f := openFile(t, path)
	w := f.Tensor("w")
	if _, err := w.Slice(0, w.Size()); err != nil {
		t.Fatal(err)
	}
	if !canPopulate(t, f) {
		t.Skip("no MADV_POPULATE_READ here: nothing stands between truncation and SIGBUS")
	}
	if err := os.Truncate(path, 64<<10); err != nil {
		t.Fatal(err)
	}
	changed := (*ChangedError)(nil)
	if _, err := w.Slice(1<<20, 2<<20); !errors.As(err, &changed) || changed.Path != path {
		t.Errorf("slice of lost bytes: %v", err)
	}
	if _, err := w.Slice(0, 4096); err != nil {
		t.Errorf("slice of bytes that are still there: %v", err)
	}
	if err := f.Unchanged(); !errors.As(err, &changed) {
		t.Errorf("unchanged: %v", err)
	}
	if err := Write(discard{}, nil, f.Tensors()); !errors.As(err, &changed) {
		t.Errorf("write: %v", err)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// canPopulate reports whether the kernel made bytes of f resident.
func canPopulate(t *testing.T, f *File) bool {
	t.Helper()
	const populateRead = 22
	return unix.Madvise(f.mapping[:1], populateRead) == nil
}

func TestPopulateErrorTellsDiskFromTruncation(t *testing.T) {
	path, _ := bigFile(t, 100)
	f := openFile(t, path)
	pathErr := (*fs.PathError)(nil)
	if err := f.populateError(syscall.EFAULT); !errors.As(err, &pathErr) || !errors.Is(err, syscall.EIO) || pathErr.Path != path {
		t.Errorf("fault in a file that did not change: %v", err)
	}
	if err := f.populateError(syscall.ENOMEM); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("no memory: %v", err)
	}
}

func TestUnchanged(t *testing.T) {
	path, _ := bigFile(t, 100)
	f := openFile(t, path)
	if err := f.Unchanged(); err != nil {
		t.Fatal(err)
	}
	// Replacing the file leaves the open one as it was.
	if err := os.WriteFile(path+".tmp", []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
	if err := f.Unchanged(); err != nil {
		t.Errorf("after a rename over it: %v", err)
	}
	path, _ = bigFile(t, 100)
	f = openFile(t, path)
	if err := os.Chtimes(path, time.Time{}, f.ModTime().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := f.Unchanged(); !errors.As(err, new(*ChangedError)) {
		t.Errorf("after a touch: %v", err)
	}
}

func TestClosedFile(t *testing.T) {
	path, _ := bigFile(t, 100)
	f := openFile(t, path)
	w := f.Tensor("w")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, sliceErr := w.Slice(0, 1)
	for _, err := range []error{sliceErr, f.Unchanged(), f.Close()} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, filepath.Join(dir, "absent"), "/dev/null"} {
		f, err := Open(path)
		if pathErr := (*fs.PathError)(nil); !errors.As(err, &pathErr) || pathErr.Path != path {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}
}

func TestFromBytes(t *testing.T) {
	tensor, err := FromBytes(Info{"a", F32, []int64{2}}, []byte("12345678"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := tensor.Slice(3, 5); err != nil || string(b) != "45" || tensor.Path() != "" || tensor.Size() != 8 {
		t.Errorf("%q %v", b, err)
	}
	for _, c := range []struct {
		info Info
		want Kind
	}{
		{Info{"a", F32, []int64{3}}, InvalidTensorView},
		{Info{"a", F4, []int64{3}}, MisalignedSlice},
		{Info{"a", F32, []int64{1 << 62, 4}}, ValidationOverflow},
		{Info{"a", Unknown, nil}, TensorInvalidInfo},
	} {
		_, err := FromBytes(c.info, make([]byte, 8))
		if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != c.want {
			t.Errorf("%v: %v, want %s", c.info, err, c.want)
		}
	}
}
