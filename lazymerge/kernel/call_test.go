//go:build (amd64 || arm64) && !purego

package kernel

import (
	"testing"
	"unsafe"
)

// TestOffsets holds the generator's idea of a call against the compiler's.
func TestOffsets(t *testing.T) {
	var c call
	want := map[string]uintptr{
		"dst": unsafe.Offsetof(c.dst), "src": unsafe.Offsetof(c.src),
		"a": unsafe.Offsetof(c.a), "b": unsafe.Offsetof(c.b),
		"rank": unsafe.Offsetof(c.rank), "count": unsafe.Offsetof(c.count),
		"dstRow": unsafe.Offsetof(c.dstRow), "srcRow": unsafe.Offsetof(c.srcRow),
		"run": unsafe.Offsetof(c.run), "next": unsafe.Offsetof(c.next), "after": unsafe.Offsetof(c.after),
		"signed": unsafe.Offsetof(c.signed), "rows": unsafe.Offsetof(c.rows), "left": unsafe.Offsetof(c.left),
		"srcAt": unsafe.Offsetof(c.srcAt), "dstAt": unsafe.Offsetof(c.dstAt), "ahead": unsafe.Offsetof(c.ahead),
		"scale": unsafe.Offsetof(c.scale), "park": unsafe.Offsetof(c.park),
	}
	if len(offsets) != len(want) {
		t.Errorf("the generator knows %d fields, want %d", len(offsets), len(want))
	}
	for name, offset := range want {
		if got, ok := offsets[name]; !ok || got != offset {
			t.Errorf("%s: the generator has offset %d, want %d", name, got, offset)
		}
	}
}
