package peft

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// TestPatternsAgreeWithPython compares with the answers of Python's re in
// testdata/patterns.json: 'y' and 'n' for PEFT's four rules, '!' where re refuses.
func TestPatternsAgreeWithPython(t *testing.T) {
	// Refused although Python takes them: one needs what regexp2 lacks, the other
	// escapes the $ behind it.
	refused := map[string]bool{`(?a:q)_proj`: true, `\`: true}
	var table struct {
		Names []string
		Rows  [][2]json.RawMessage
	}
	text, err := os.ReadFile("testdata/patterns.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Rows {
		var p string
		var want []string
		if json.Unmarshal(row[0], &p) != nil || json.Unmarshal(row[1], &want) != nil || len(want) != len(table.Names) {
			t.Fatalf("row %s", row)
		}
		if refused[p] {
			continue
		}
		for i, name := range table.Names {
			got := answer(bySuffix, p, name) + answer(compileFull, p, name) + answer(byDot, p, name) + answer(byPart, p, name)
			if got != want[i] {
				t.Errorf("%q on %q: %s, Python says %s", p, name, got, want[i])
			}
		}
	}
	if len(table.Rows) < 50 {
		t.Errorf("%d patterns", len(table.Rows))
	}
}

func answer(compile func(string) (*pattern, error), p, name string) string {
	re, err := compile(p)
	if err != nil {
		return "!"
	}
	switch ok, err := re.match(name); {
	case err != nil:
		return "!"
	case ok:
		return "y"
	}
	return "n"
}

func TestPatternTimesOut(t *testing.T) {
	re, err := compileFull(`(\w+\w*)+`)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err = re.match(strings.Repeat("a", 60) + "!"); err == nil {
		t.Error("no time-out")
	}
	if d := time.Since(begin); d > 30*time.Second {
		t.Errorf("took %v", d)
	}
}

// FuzzPlainPattern holds the comparison without an engine against the engine.
func FuzzPlainPattern(f *testing.F) {
	f.Add("^a.b", "a.b")
	f.Add("b", "a.b")
	f.Add("", "a.")
	f.Add("q.proj", "x.q_proj")
	f.Fuzz(func(t *testing.T, p, name string) {
		lit, start, ok := plainPattern(p)
		if !ok || strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 || r == '\n' }) {
			t.Skip()
		}
		plain := &pattern{literal: lit, start: start, plain: true}
		slow, err := compile(`\A(.*\.)?(` + p + `)$`)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := plain.match(name)
		want, err := slow.match(name)
		if err == nil && got != want {
			t.Errorf("%q on %q: %v, the engine says %v", p, name, got, want)
		}
	})
}
