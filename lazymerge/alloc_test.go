//go:build !race

package lazymerge_test

import (
	"context"
	"path/filepath"
	"testing"

	"lorafs/lazymerge"
)

// A warm read allocates nothing: garbage would grow with what is served.
func TestWarmReadDoesNotAllocate(t *testing.T) {
	m := openPair(t, filepath.Join(demo, "base"), filepath.Join(demo, "adapters", "style"), lazymerge.Options{})
	f, err := m.OpenFile("model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, f.Size())
	read := func() {
		if _, err := f.ReadAt(context.Background(), p, 0); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if n := testing.AllocsPerRun(10, read); n > 0 {
		t.Errorf("%.0f allocations in a warm read of %d bytes", n, len(p))
	}
}
