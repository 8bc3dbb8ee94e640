package lazymerge

import (
	"strings"
	"testing"
)

// FuzzNumbers takes the numbers out of names and puts them back.
func FuzzNumbers(f *testing.F) {
	for _, name := range []string{"model.layers.3.mlp.experts.12.up_proj", "lm_head", "", "0", "a..1.", "#.4", "layers.007", "99999999999.x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n := numbers(name)
		if strings.Count(unnumbered(name), "#") != strings.Count(name, "#")+len(n) {
			t.Errorf("%q has the numbers %d in %q", name, n, unnumbered(name))
		}
		if strings.Contains(name, "#") {
			return
		}
		back, ok := number(unnumbered(name), n)
		if !ok || numberless(back) != numberless(name) {
			t.Errorf("%q becomes %q", name, back)
		}
		noteNumbers(name, make(map[string]int64))
		if through := throughNumber(name); !strings.HasPrefix(name, through) {
			t.Errorf("%q through its number is %q", name, through)
		}
	})
}

// numberless is a name without zeros, which numbers may begin with.
func numberless(name string) string { return strings.ReplaceAll(name, "0", "") }
