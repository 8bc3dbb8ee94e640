//go:build !purego

package kernel

import "testing"

// TestSelfTest fails where a tier's own test would hide it from the others.
func TestSelfTest(t *testing.T) {
	for name, c := range map[string]struct {
		present bool
		shapes  *shapes
	}{
		"amx":        {hasAVX512 && amxAllowed(), avx512Shapes.withMatrix()},
		"avx512bf16": {hasAVX512BF16, avx512Shapes.withQuad()},
		"avx512":     {hasAVX512, &avx512Shapes},
		"avx2":       {hasAVX2, &avx2Shapes},
	} {
		if c.present && !c.shapes.right() {
			t.Errorf("%s gives another product than pure Go", name)
		}
	}
}
