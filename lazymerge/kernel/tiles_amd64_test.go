//go:build !purego

package kernel

import (
	"maps"
	"testing"
	"unsafe"
)

// TestTilesOffsets holds the generator's idea of tiles against the compiler's.
func TestTilesOffsets(t *testing.T) {
	var s tiles
	want := map[string]uintptr{
		"config": unsafe.Offsetof(s.config), "tall": unsafe.Offsetof(s.tall), "lower": unsafe.Offsetof(s.lower),
		"turns": unsafe.Offsetof(s.turns), "every": unsafe.Offsetof(s.every), "tile": unsafe.Offsetof(s.tile), "skip": unsafe.Offsetof(s.skip),
		"remain": unsafe.Offsetof(s.remain), "read": unsafe.Offsetof(s.read), "write": unsafe.Offsetof(s.write),
		"own": unsafe.Offsetof(s.own), "list": unsafe.Offsetof(s.list), "special": unsafe.Offsetof(s.special),
	}
	if !maps.Equal(tilesOffsets, want) {
		t.Errorf("the generator has %v, want %v", tilesOffsets, want)
	}
	var p strip
	want = map[string]uintptr{
		"src": unsafe.Offsetof(p.src), "dst": unsafe.Offsetof(p.dst), "a": unsafe.Offsetof(p.a), "b": unsafe.Offsetof(p.b),
		"count": unsafe.Offsetof(p.count), "bytes": unsafe.Sizeof(p),
	}
	if !maps.Equal(stripOffsets, want) {
		t.Errorf("of a strip the generator has %v, want %v", stripOffsets, want)
	}
}
