package resolve

import "testing"

// TestRenames applies every rule of the tables to names sampled from its pattern
// and compares with what Python made of them (gen/renames.py).
func TestRenames(t *testing.T) {
	type row struct{ Key, Name, Renamed, Loaded, Back string }
	mappings := map[string]*mapping{}
	rows := 0
	each(t, "testdata/renames.jsonl.gz", func(r row) {
		rows++
		m := mappings[r.Key]
		if m == nil {
			m = &mapping{}
			key, rules := rulesOf(r.Key)
			if key == "" {
				t.Errorf("no rules for %s", r.Key)
			}
			m.add(key, rules, false, "", "")
			mappings[r.Key] = m
		}
		renamed := m.canonical(r.Name, nil)
		loaded := m.load(r.Name, nil).names[0]
		back := renamed
		for i := range m.renames {
			r := m.renames[len(m.renames)-1-i]
			on := true
			back, _ = r.rename(&r.Reverse, -r.Offset, back, &on)
		}
		if renamed != r.Renamed || loaded != r.Loaded || back != r.Back {
			t.Errorf("%s: %q: got %q, %q, %q; want %q, %q, %q", r.Key, r.Name, renamed, loaded, back, r.Renamed, r.Loaded, r.Back)
		}
	})
	if rows < 2000 {
		t.Errorf("only %d names", rows)
	}
}
