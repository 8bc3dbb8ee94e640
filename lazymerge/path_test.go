package lazymerge_test

import (
	"context"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"lorafs/lazymerge"
	"lorafs/lazymerge/kernel"
)

// The walk of a read, as docs/architecture.md gives it: six calls from ReadAt to the
// arithmetic, one more through a tile.
func TestReadPathIsShort(t *testing.T) {
	pure := kernel.Default
	t.Cleanup(func() { kernel.Default = pure })
	var deepest []string
	spy := *pure
	spy.AddLowRank = func(a *kernel.Args) int {
		if calls := callsSinceRead(); len(calls) > len(deepest) {
			deepest = calls
		}
		return pure.AddLowRank(a)
	}
	kernel.Default = &spy

	m := openPair(t, filepath.Join(demo, "base"), filepath.Join(demo, "adapters", "style"), lazymerge.Options{})
	f, err := m.OpenFile("model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(context.Background(), make([]byte, f.Size()), 0); err != nil {
		t.Fatal(err)
	}
	if len(deepest) == 0 || len(deepest) > 6 {
		t.Errorf("%d calls, want at most 6:\n%s", len(deepest), strings.Join(deepest, "\n"))
	}
}

// callsSinceRead lists the functions on the stack from ReadAt to the tier, the tier
// first.
func callsSinceRead() []string {
	pc := make([]uintptr, 64)
	frames := runtime.CallersFrames(pc[:runtime.Callers(2, pc)])
	var calls []string
	for {
		f, more := frames.Next()
		calls = append(calls, f.Function)
		if !more || strings.HasSuffix(f.Function, "(*File).ReadAt") {
			return calls
		}
	}
}
