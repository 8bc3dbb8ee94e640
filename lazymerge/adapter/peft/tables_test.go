package peft

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// upstreamLines reads a list that testdata/make.py took from PEFT: lines of words, by
// the first.
func upstreamLines(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 0 {
			list[words[0]] = words[1:]
		}
	}
	if len(list) < 40 {
		t.Fatalf("%s has %d entries", name, len(list))
	}
	return list
}

func readTypes() []typeRule {
	return slices.DeleteFunc(slices.Clone(types), func(x typeRule) bool { return x.method == nil })
}

// rows are all the config fields that a type's tables decide, by name.
func (m *method) rows() map[string]fieldRule {
	rows := make(map[string]fieldRule)
	for _, f := range slices.Concat(baseFields, m.fields) {
		rows[f.name] = f
	}
	for _, name := range m.usual {
		rows[name], _ = find(usualFields, name)
	}
	return rows
}

// TestEveryConfigFieldIsDecided: the tables of a type that is read name the fields of
// its config class in PEFT, each once, and no others.
func TestEveryConfigFieldIsDecided(t *testing.T) {
	upstream := upstreamLines(t, "config_fields.txt")
	for _, x := range readTypes() {
		var names []string
		for _, f := range slices.Concat(baseFields, x.fields) {
			names = append(names, f.name)
		}
		names = append(names, x.usual...)
		slices.Sort(names)
		want := upstream[x.name]
		if x.name == "BONE" {
			want = boneFields(upstream["MISS"])
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: fields\n%v\nPEFT has\n%v", x.name, names, want)
		}
		if !slices.IsSorted(x.usual) || !slices.IsSortedFunc(x.fields, func(a, b fieldRule) int { return strings.Compare(a.name, b.name) }) {
			t.Errorf("%s: the tables are not sorted", x.name)
		}
		for name, f := range x.rows() {
			if f.name != name || (f.use == used) != (f.reason == "") {
				t.Errorf("%s: %s is %+v", x.name, name, f)
			}
		}
		for _, f := range slices.Concat(x.past, foreignFields) {
			if _, now := x.rows()[f.name]; now || f.use != used && f.reason == "" {
				t.Errorf("%s: earlier or foreign field %+v", x.name, f)
			}
		}
	}
}

// boneFields is the fields of a type that PEFT removed: MISS has followed it.
func boneFields(fields []string) []string {
	return slices.DeleteFunc(slices.Clone(fields), func(name string) bool { return name == "mini_r" || name == "miss_dropout" })
}

// TestUsedFieldsAreRead: a field that the tables call used must break reading when it
// has a value of the wrong type.
func TestUsedFieldsAreRead(t *testing.T) {
	for _, x := range readTypes() {
		for name, f := range x.rows() {
			if f.use != used {
				continue
			}
			text := `{"peft_type":"` + x.name + `","` + name + `":[{"wrong":[]}]}`
			if name == "peft_type" {
				text = `{"peft_type":[{"wrong":[]}]}`
			}
			if _, err := readText(text); err == nil {
				t.Errorf("%s: %s is not read", x.name, name)
			}
		}
	}
}

func TestRefusedFields(t *testing.T) {
	for _, x := range readTypes() {
		for _, f := range x.fields {
			if f.use != refused {
				continue
			}
			start := `{"peft_type":"` + x.name + `","` + f.name + `":`
			for _, value := range []string{"null", "false"} {
				if _, err := readText(start + value + `}`); err != nil {
					t.Errorf("%s: %s = %s: %v", x.name, f.name, value, err)
				}
			}
			value := `[1]`
			if f.set != nil {
				value = `{}`
			}
			_, err := readText(start + value + `}`)
			if u := (*UnsupportedError)(nil); !as(err, &u) || u.Field != f.name || u.Reason != f.reason || u.Never != f.never || u.Type != x.name {
				t.Errorf("%s: %s = %s: %v", x.name, f.name, value, err)
			}
		}
	}
}

func TestEveryPeftTypeIsDecided(t *testing.T) {
	upstream := upstreamLines(t, "peft_types.txt")
	if !slices.IsSortedFunc(types, func(a, b typeRule) int { return strings.Compare(a.name, b.name) }) {
		t.Error("types are not sorted")
	}
	for _, x := range types {
		if (x.method == nil) != (x.reason != "") {
			t.Errorf("%s: either read or refused with a reason", x.name)
		}
		if x.method != nil && (x.reads == "" || x.read == nil) {
			t.Errorf("%s: %+v", x.name, x)
		}
		prefix, known := upstream[x.name]
		if !known && x.name != "BONE" {
			t.Errorf("PEFT has no type %s", x.name)
		}
		if known && x.method != nil && !slices.Equal(prefix, []string{x.prefix}) {
			t.Errorf("%s: prefix %q, PEFT has %q", x.name, x.prefix, prefix)
		}
	}
	for name := range upstream {
		if _, known := findType(name); !known {
			t.Errorf("PEFT's type %s is in no row", name)
		}
	}
}

// TestTypesAreExercised: a type is read only with golden cases of PEFT's own merge.
func TestTypesAreExercised(t *testing.T) {
	found := make(map[string]bool)
	configs, err := filepath.Glob("../../../integration/testdata/goldens/cases/*/adapter/adapter_config.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range configs {
		if c, err := ReadConfig(path); err == nil {
			found[c.PeftType] = true
		}
	}
	for _, name := range Types() {
		if !found[name] {
			t.Errorf("no golden case has an adapter of type %s", name)
		}
	}
}

func TestRefusedTypes(t *testing.T) {
	for _, x := range append(slices.Clone(types), typeRule{name: "lora"}, typeRule{name: "NEW"}) {
		if x.method != nil {
			continue
		}
		_, err := readText(`{"peft_type":"` + x.name + `","whatever":1}`)
		if u := (*UnsupportedError)(nil); !as(err, &u) || u.Type != x.name || u.Reason == "" || u.Never != x.never {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}
