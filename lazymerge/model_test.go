package lazymerge_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"lorafs/cache"
	"lorafs/lazymerge"
	"lorafs/lazymerge/modeldir"
	"lorafs/safetensors"
)

const demo = "../cmd/lorafs/demodata"

// openPair opens a base and one adapter; everything is closed with the test.
// tryRef opens a base with an adapter or a stack that may be refused.
func tryRef(t testing.TB, base, ref string, opt lazymerge.Options) (*lazymerge.Model, error) {
	t.Helper()
	b, err := lazymerge.OpenBase(base)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	lib, err := modeldir.FindAdapters([]string{ref})
	if err != nil {
		t.Fatal(err)
	}
	return lazymerge.Open(context.Background(), b, lib.Adapters[0], opt)
}

func openPair(t testing.TB, base, adapter string, opt lazymerge.Options) *lazymerge.Model {
	t.Helper()
	if opt.Cache == nil {
		opt.Cache = cache.New[lazymerge.Key](64 << 20)
		t.Cleanup(func() {
			if err := opt.Cache.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	m, err := tryRef(t, base, adapter, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func readAll(t testing.TB, m *lazymerge.Model, path string) []byte {
	t.Helper()
	f, err := m.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, f.Size())
	if n, err := f.ReadAt(context.Background(), p, 0); err != nil || n != len(p) {
		t.Fatalf("read %s: %d of %d bytes, %v", path, n, len(p), err)
	}
	return p
}

func TestMergeEqualsPEFT(t *testing.T) {
	for _, name := range []string{"style", "accent"} {
		m := openPair(t, filepath.Join(demo, "base"), filepath.Join(demo, "adapters", name), lazymerge.Options{})
		dir := t.TempDir()
		merged := filepath.Join(dir, "model.safetensors")
		if err := os.WriteFile(merged, readAll(t, m, "model.safetensors"), 0o644); err != nil {
			t.Fatal(err)
		}
		v, err := lazymerge.Verify(context.Background(), m, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !v.OK || v.Counts[lazymerge.Equal] != len(v.Tensors) {
			t.Errorf("%s: what the view shows is not what Verify computes: %v", name, v.Counts)
		}
		v, err = lazymerge.Verify(context.Background(), m, filepath.Join(demo, "expected", name+".safetensors"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range v.Tensors {
			if tensor.State != lazymerge.Equal && tensor.State != lazymerge.Close {
				t.Errorf("%s: %s: %s %s", name, tensor.Name, tensor.State, tensor.Detail)
			}
		}
	}
}

func TestVerifyNamesWhatIsOff(t *testing.T) {
	style := filepath.Join(demo, "adapters", "style")
	m := openPair(t, filepath.Join(demo, "base"), style, lazymerge.Options{})
	v, err := lazymerge.Verify(context.Background(), m, filepath.Join(demo, "base"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.OK || v.Counts[lazymerge.NotApplied] == 0 {
		t.Errorf("the base itself passes as merged: %v", v.Counts)
	}
	v, err = lazymerge.Verify(context.Background(), m, filepath.Join(demo, "expected", "accent.safetensors"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.OK {
		t.Errorf("another adapter's merge passes: %v", v.Counts)
	}
}

// Any offset and length gives the bytes that one read of all gives, from many
// readers at a time, with a cache too small to hold what they need.
func TestReadsAgree(t *testing.T) {
	small := cache.New[lazymerge.Key](2 << 20)
	m := openPair(t, filepath.Join(demo, "base"), filepath.Join(demo, "adapters", "style"), lazymerge.Options{Cache: small, Workers: lazymerge.NewWorkers(2)})
	t.Cleanup(func() { _ = small.Close() })
	want := readAll(t, m, "model.safetensors")
	f, err := m.OpenFile("model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for range 200 {
				off := r.Int64N(f.Size())
				p := make([]byte, 1+r.IntN([]int{16, 5000, 300000}[r.IntN(3)]))
				n, err := f.ReadAt(context.Background(), p, off)
				short := off+int64(len(p)) > f.Size()
				if short != errors.Is(err, io.EOF) || err != nil && !short {
					t.Errorf("read %d at %d: %d, %v", len(p), off, n, err)
					return
				}
				if !bytes.Equal(p[:n], want[off:off+int64(n)]) {
					t.Errorf("read %d at %d gives other bytes", len(p), off)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestExportWritesTheView(t *testing.T) {
	m := openPair(t, filepath.Join(demo, "base"), filepath.Join(demo, "adapters", "style"), lazymerge.Options{})
	out := t.TempDir() // an empty directory is as good as none
	var last, total int64
	if err := lazymerge.Export(context.Background(), m, out, func(done, all int64) { last, total = done, all }); err != nil {
		t.Fatal(err)
	}
	if last != total || total != m.Size() {
		t.Errorf("progress ended at %d of %d, model has %d bytes", last, total, m.Size())
	}
	for _, e := range m.Entries() {
		got, err := os.ReadFile(filepath.Join(out, e.Path))
		if e.Hidden {
			if err == nil {
				t.Errorf("%s was exported", e.Path)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, readAll(t, m, e.Path)) {
			t.Errorf("%s differs from the view", e.Path)
		}
	}
	if err := lazymerge.Export(context.Background(), m, out, nil); !errors.Is(err, lazymerge.ErrExists) {
		t.Errorf("export over a model: %v", err)
	}
}

func TestExportThatFailsLeavesNothing(t *testing.T) {
	m := openPair(t, filepath.Join(demo, "base"), filepath.Join(demo, "adapters", "style"), lazymerge.Options{})
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	err := lazymerge.Export(ctx, m, filepath.Join(parent, "merged"), func(done, total int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("export after cancel: %v", err)
	}
	if left, _ := os.ReadDir(parent); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// copyDir copies the files of a model so that a test may damage them.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// An input that is cut short or rewritten while it is in use gives an error, never
// other bytes.
func TestChangedInputIsAnError(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 4096) },
		"rewritten": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			if _, err := f.WriteAt(make([]byte, 4096), 100000); err != nil {
				return err
			}
			return f.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := copyDir(t, filepath.Join(demo, "base"))
			m := openPair(t, base, filepath.Join(demo, "adapters", "style"), lazymerge.Options{})
			f, err := m.OpenFile("model.safetensors")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := damage(filepath.Join(base, "model.safetensors")); err != nil {
				t.Fatal(err)
			}
			var changed *lazymerge.InputChangedError
			if _, err := f.ReadAt(context.Background(), make([]byte, f.Size()), 0); !errors.As(err, &changed) {
				t.Errorf("got %v, want an InputChangedError", err)
			}
		})
	}
}

func TestReadAtHonoursContext(t *testing.T) {
	m := openPair(t, filepath.Join(demo, "base"), filepath.Join(demo, "adapters", "style"), lazymerge.Options{})
	f, err := m.OpenFile("model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.ReadAt(ctx, make([]byte, f.Size()), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A file outlives its model: a replaced adapter's readers keep their bytes.
func TestFileOutlivesModel(t *testing.T) {
	b, err := lazymerge.OpenBase(filepath.Join(demo, "base"))
	if err != nil {
		t.Fatal(err)
	}
	lib, err := modeldir.FindAdapters([]string{filepath.Join(demo, "adapters", "style")})
	if err != nil {
		t.Fatal(err)
	}
	c := cache.New[lazymerge.Key](8 << 20)
	m, err := lazymerge.Open(context.Background(), b, lib.Adapters[0], lazymerge.Options{Cache: c})
	if err != nil {
		t.Fatal(err)
	}
	want := readAll(t, m, "model.safetensors")
	f, err := m.OpenFile("model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, f.Size())
	if _, err := f.ReadAt(context.Background(), got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read after the model was closed: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := m.OpenFile("model.safetensors"); !errors.Is(err, lazymerge.ErrClosed) {
		t.Errorf("open of a closed model: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// The whole model through the eyes of the strict reader.
func TestViewIsASafetensorsFile(t *testing.T) {
	m := openPair(t, filepath.Join(demo, "base"), filepath.Join(demo, "adapters", "style"), lazymerge.Options{})
	raw := readAll(t, m, "model.safetensors")
	h, err := safetensors.ReadHeader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	base, err := safetensors.Open(filepath.Join(demo, "base", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	if h.DataStart%64 != 0 {
		t.Errorf("data begins at %d", h.DataStart)
	}
	for i, want := range base.Header().Entries {
		if got := h.Entries[i]; got.Name != want.Name || got.DType != want.DType {
			t.Errorf("tensor %d is %s %s, the base has %s %s", i, got.Name, got.DType, want.Name, want.DType)
		}
	}
}

// TestOpenFileDoesNotWait puts a FIFO in the place of a file that is shown as it is.
func TestOpenFileDoesNotWait(t *testing.T) {
	base := copyDir(t, filepath.Join(demo, "base"))
	m := openPair(t, base, filepath.Join(demo, "adapters", "style"), lazymerge.Options{})
	tokenizer := filepath.Join(base, "tokenizer.json")
	if err := errors.Join(os.Remove(tokenizer), syscall.Mkfifo(tokenizer, 0o644)); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		_, err := m.OpenFile("tokenizer.json")
		opened <- err
	}()
	select {
	case err := <-opened:
		var changed *lazymerge.InputChangedError
		if !errors.As(err, &changed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the open waits for a writer")
		if w, err := os.OpenFile(tokenizer, os.O_WRONLY, 0); err == nil {
			w.Close()
		}
		<-opened
	}
}
