package torchfile

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// samples are files that torch wrote.
func samples(f *testing.F, pattern string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata/samples", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// FuzzOpen: whatever a zip file is, it opens or is refused, for memory in proportion,
// and no element of what opens faults.
func FuzzOpen(f *testing.F) {
	samples(f, "*[^y].pt")
	for _, r := range refusals() {
		f.Add(r.content)
	}
	f.Fuzz(fuzz)
}

// FuzzPickleInZip is FuzzOpen behind the container, whose checksums and lengths random
// changes rarely survive.
func FuzzPickleInZip(f *testing.F) {
	f.Add([]byte(dictOf("t", view(storageID("ByteStorage", "0", 12), 0, []int64{3, 4}, []int64{1, 3}))))
	f.Add([]byte(dictOf("t", view(storageID("FloatStorage", "0", 3), 1, []int64{2}, []int64{1}), "u", storageID("UntypedStorage", "0", 12))))
	f.Add([]byte("\x80\x02ctorch._utils\n_rebuild_parameter\n(" + view(storageID("ByteStorage", "0", 12), 0, []int64{2}, []int64{3}) + "\x89NtR."))
	f.Add([]byte("\x80\x02ctorch._utils\n_rebuild_tensor_v3\n(" + storageID("UntypedStorage", "0", 12) + "K\x00K\x02\x85K\x01\x85\x89Nctorch\nuint16\ntR."))
	f.Fuzz(func(t *testing.T, b []byte) { fuzz(t, torchZip(string(b), twelve)) })
}

// FuzzLegacy is FuzzOpen for the format before torch 1.6.
func FuzzLegacy(f *testing.F) {
	samples(f, "*-legacy.pt")
	tensor := view(storageID("ByteStorage", "0", 12), 0, []int64{12}, []int64{1})
	f.Add(legacy(tensor, "]"+text("0")+"a", count(12)+twelve))
	f.Fuzz(fuzz)
}

func fuzz(t *testing.T, b []byte) {
	path := put(t, b)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	file, err := Open(path)
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 64<<20+200*uint64(len(b)) {
		t.Fatalf("%d bytes took %d", len(b), spent)
	}
	if err != nil {
		known(t, err)
		return
	}
	defer file.Close()
	left := 1000
	readAll(t, file.Root(), 0, &left)
	if w, err := OpenWeights(path); err != nil {
		known(t, err)
	} else {
		w.Close()
	}
}

func known(t *testing.T, err error) {
	ours, system, changed := (*Error)(nil), (*fs.PathError)(nil), (*safetensors.ChangedError)(nil)
	if !errors.As(err, &ours) && !errors.As(err, &system) && !errors.As(err, &changed) {
		t.Fatalf("%T %v", err, err)
	}
}

// readAll reads the tensors of a value, as far as a few steps lead.
func readAll(t *testing.T, v any, depth int, left *int) {
	if *left--; *left < 0 || depth > 20 {
		return
	}
	switch v := v.(type) {
	case *pickle.Dict:
		for k, item := range v.All() {
			readAll(t, k, depth+1, left)
			readAll(t, item, depth+1, left)
		}
	case *pickle.List:
		for _, item := range v.Items {
			readAll(t, item, depth+1, left)
		}
	case pickle.Tuple:
		for _, item := range v {
			readAll(t, item, depth+1, left)
		}
	case *Tensor:
		readTensor(t, v)
	}
}

func readTensor(t *testing.T, v *Tensor) {
	n := v.Elements()
	if n < 0 || v.Bytes() < 0 || n > math.MaxInt64/16 {
		t.Fatalf("%d elements of shape %v", n, v.Shape)
	}
	named, err := v.Named("x")
	if err != nil {
		known(t, err)
	} else if _, err := named.Slice(0, named.Size()); err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		return
	}
	width := v.Bytes() / n
	for _, first := range []int64{0, n / 2, max(n-100, 0)} {
		b := make([]byte, min(n-first, 100)*width)
		if err := v.ReadAt(b, first); err != nil {
			known(t, err)
		}
	}
}
