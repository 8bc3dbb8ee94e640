package peft

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// upstream reads a list that testdata/make.py took from PEFT.
func upstream(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Fields(string(text))
	if len(list) < 10 {
		t.Fatalf("%s has %d entries", name, len(list))
	}
	return list
}

func TestEveryFieldOfLoraConfigIsDecided(t *testing.T) {
	var names []string
	for _, f := range loraFields {
		names = append(names, f.name)
		if f.use != used && f.reason == "" {
			t.Errorf("%s has no reason", f.name)
		}
		if f.use == used && f.reason != "" {
			t.Errorf("%s is used and has a reason", f.name)
		}
	}
	if want := upstream(t, "lora_fields.txt"); !slices.Equal(names, want) {
		t.Errorf("fields\n%v\nPEFT has\n%v", names, want)
	}
	for _, f := range foreignFields {
		if f.use != ignored || f.reason == "" || slices.Contains(names, f.name) {
			t.Errorf("foreign field %+v", f)
		}
	}
}

// TestUsedFieldsAreRead: a field that the table calls used must change or break
// reading when it has a value of the wrong type.
func TestUsedFieldsAreRead(t *testing.T) {
	for _, f := range loraFields {
		if f.use != used {
			continue
		}
		_, err := readText(`{"peft_type":"LORA","r":8,"` + f.name + `":[{"wrong":[]}]}`)
		if f.name == "r" || f.name == "peft_type" {
			_, err = readText(`{"` + f.name + `":[{"wrong":[]}],"peft_type":"LORA"}`)
		}
		if err == nil {
			t.Errorf("%s is not read", f.name)
		}
	}
}

func TestRefusedFields(t *testing.T) {
	for _, f := range loraFields {
		if f.use != refused {
			continue
		}
		for _, value := range []string{"null", "false"} {
			if _, err := readText(`{"peft_type":"LORA","` + f.name + `":` + value + `}`); err != nil {
				t.Errorf("%s = %s: %v", f.name, value, err)
			}
		}
		value := `[1]`
		if f.set != nil {
			value = `{}`
		}
		_, err := readText(`{"peft_type":"LORA","` + f.name + `":` + value + `}`)
		if u := (*UnsupportedError)(nil); !as(err, &u) || u.Field != f.name || u.Reason != f.reason || u.Never != f.never {
			t.Errorf("%s = %s: %v", f.name, value, err)
		}
	}
}

func TestEveryPeftTypeIsDecided(t *testing.T) {
	var names []string
	for _, x := range types {
		if (x.parse == nil) != (x.reason != "") {
			t.Errorf("%s: either parsed or refused with a reason", x.name)
		}
		if x.name != "BONE" {
			names = append(names, x.name)
		}
	}
	if want := upstream(t, "peft_types.txt"); !slices.Equal(names, want) {
		t.Errorf("types\n%v\nPEFT has\n%v", names, want)
	}
	if got := Types(); !slices.Equal(got, []string{"LORA"}) {
		t.Errorf("Types() = %v", got)
	}
}

func TestRefusedTypes(t *testing.T) {
	for _, x := range append(slices.Clone(types), typeRule{name: "lora"}, typeRule{name: "NEW"}) {
		if x.parse != nil {
			continue
		}
		_, err := readText(`{"peft_type":"` + x.name + `","whatever":1}`)
		if u := (*UnsupportedError)(nil); !as(err, &u) || u.Type != x.name || u.Reason == "" || u.Never != x.never {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}
