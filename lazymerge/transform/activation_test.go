package transform

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// TestActivations holds them against transformers' (testdata/activations.py).
func TestActivations(t *testing.T) {
	text, err := os.ReadFile("testdata/activations.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		var name string
		var x, want float64
		if _, err := fmt.Sscan(line, &name, &x, &want); err != nil {
			t.Fatal(err)
		}
		f := activations[name]
		if f == nil {
			t.Errorf("no %s", name)
			continue
		}
		seen[name] = true
		if y := f(x); math.Abs(y-want) > 1e-9*max(1, math.Abs(want)) {
			t.Errorf("%s(%g) is %g, want %g", name, x, y, want)
		}
	}
	if len(seen) != len(activations) {
		t.Errorf("%d of %d were tested", len(seen), len(activations))
	}
}
