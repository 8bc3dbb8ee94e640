package checkpoint

import (
	"errors"
	"strings"
	"testing"

	"lorafs/lazymerge/torchfile"
)

// TestSubGroupEnds: sub-groups are cut within each group of parameters.
func TestSubGroupEnds(t *testing.T) {
	m := &zeroModel{file: "m", groups: [][]param{{{"a", []int64{3, 4}}, {"b", []int64{5}}}, {}, {{"c", []int64{6}}}}}
	for _, c := range []struct {
		parts []int64 // of a rank of two: 6 and 3 elements of the first group, 3 of the last
		fits  bool
	}{{[]int64{9, 3}, true}, {[]int64{9, 0, 3}, true}, {[]int64{6, 3, 3}, true}, {[]int64{4, 5, 1, 2}, true}, {[]int64{12}, false}, {[]int64{6, 6}, false}, {[]int64{8, 2, 2}, false}} {
		o := &zeroOptim{file: "o", world: 2}
		for _, n := range c.parts {
			o.flat = append(o.flat, &torchfile.Tensor{Shape: []int64{n}})
		}
		err := checkSubGroups(m, []*zeroOptim{o, o})
		if c.fits != (err == nil) || err != nil && !errors.As(err, new(*MixedError)) && !errors.As(err, new(*LayoutError)) {
			t.Errorf("%v: %v", c.parts, err)
		}
	}
}

// TestNoteSteps: an optimizer that is not as far as the model is noted, once it has begun.
func TestNoteSteps(t *testing.T) {
	for _, x := range []struct {
		optimizer, model string
		fresh, noted     bool
	}{{"2", "2", false, false}, {"2", "5", false, true}, {"", "5", false, false}, {"2", "", false, false}, {"1", "0", true, false}} {
		c := &Checkpoint{}
		c.noteSteps(&zeroModel{file: "m", updates: x.model, fresh: x.fresh}, &zeroOptim{file: "o", step: x.optimizer})
		if noted := strings.Contains(strings.Join(c.Notes, ""), "two savings"); noted != x.noted {
			t.Errorf("%+v: %q", x, c.Notes)
		}
	}
}
