//go:build !purego

package kernel

import "testing"

// TestSelfTest fails where a tier's own test would hide it from the others.
func TestSelfTest(t *testing.T) {
	if !neonShapes.right() {
		t.Error("neon gives another product than pure Go")
	}
}
