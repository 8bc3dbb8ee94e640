package training

import "testing"

// ordered are versions in the order of PEP 440.
var ordered = []string{
	"0.4.3", "0.4.4.dev1", "0.4.4a1", "0.4.4b2", "0.4.4rc1.dev3", "0.4.4rc1", "0.4.4", "0.4.4.post1", "0.4.10", "1.dev0",
	"1.0a1.dev1", "1.0a1", "1.0a1.post1", "1", "1.0.post1.dev2", "1.0.post1", "4.57.6", "5.0.0rc0", "5.0.0", "5.0.1", "1!0.1",
}

func TestVersionOrder(t *testing.T) {
	for i, a := range ordered {
		for j, b := range ordered {
			v, okA := parseVersion(a)
			w, okB := parseVersion(b)
			if !okA || !okB {
				t.Fatalf("%s or %s is not read", a, b)
			}
			if got, want := sign(v.compare(w)), sign(i-j); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

func TestVersionForms(t *testing.T) {
	for _, pair := range [][2]string{
		{"1.0", "1"}, {"v1.0", "1.0"}, {"1.0.0", "1"}, {"1.0-1", "1.0.post1"}, {"1.0-alpha-2", "1.0a2"}, {"1.0RC1", "1.0rc1"},
		{"1.0+cu121", "1.0"}, {"1.0.post", "1.0.post0"}, {"1.0dev", "1.0.dev0"}, {"1.0c1", "1.0rc1"}, {" 1.0 ", "1.0"},
	} {
		v, okV := parseVersion(pair[0])
		w, okW := parseVersion(pair[1])
		if !okV || !okW || v.compare(w) != 0 {
			t.Errorf("%s is not %s: %+v %+v", pair[0], pair[1], v, w)
		}
	}
	for _, s := range []string{"", "x", "1..2", "git", "1.0 2", "1.0+", "99999999999999999999"} {
		if _, ok := parseVersion(s); ok {
			t.Errorf("%q is read", s)
		}
	}
}
