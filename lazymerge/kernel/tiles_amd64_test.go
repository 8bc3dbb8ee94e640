//go:build !purego

package kernel

import (
	"testing"
	"unsafe"
)

// TestTilesOffsets holds the generator's idea of tiles against the compiler's.
func TestTilesOffsets(t *testing.T) {
	var s tiles
	want := map[string]uintptr{
		"config": unsafe.Offsetof(s.config), "rows": unsafe.Offsetof(s.rows), "turns": unsafe.Offsetof(s.turns),
		"each": unsafe.Offsetof(s.each), "last": unsafe.Offsetof(s.last),
		"src": unsafe.Offsetof(s.src), "dst": unsafe.Offsetof(s.dst),
		"read": unsafe.Offsetof(s.read), "write": unsafe.Offsetof(s.write), "count": unsafe.Offsetof(s.count),
		"special": unsafe.Offsetof(s.special), "sums": unsafe.Offsetof(s.sums),
	}
	if len(tilesOffsets) != len(want) {
		t.Errorf("the generator knows %d fields, want %d", len(tilesOffsets), len(want))
	}
	for name, offset := range want {
		if got, ok := tilesOffsets[name]; !ok || got != offset {
			t.Errorf("%s: the generator has offset %d, want %d", name, got, offset)
		}
	}
}
