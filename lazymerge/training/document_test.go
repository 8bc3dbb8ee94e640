package training

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func TestParseJSON(t *testing.T) {
	for _, text := range []string{
		`{"a":{"b":3}}`,
		"{\n  // a comment\n  \"a\": {\"b\": 3,}, /* another */\n}\n",
		"{\"a\": {\"b\": 3} # Hjson's\n}",
		`{"a":{"b":3, "c":"// , } no comment"}}`,
	} {
		doc, err := parseJSON([]byte(text))
		if err != nil || fmt.Sprint(child(doc, "a")["b"]) != "3" {
			t.Errorf("%s: %v, %v", text, doc, err)
		}
		if c := word(child(doc, "a"), "c"); c != "" && c != "// , } no comment" {
			t.Errorf("a string became %q", c)
		}
	}
	for _, text := range []string{"", "{", "[]", "null", "{} {}", "/*", `{"a":"\`} {
		if doc, err := parseJSON([]byte(text)); err == nil {
			t.Errorf("%q gives %v", text, doc)
		}
	}
}

func TestParseBase64(t *testing.T) {
	text := base64.URLEncoding.EncodeToString([]byte(`{"zero_optimization":{"stage":3}}`))
	if doc, err := parseBase64(text); err != nil || child(doc, "zero_optimization") == nil {
		t.Errorf("%v, %v", doc, err)
	}
}

func TestParseYAML(t *testing.T) {
	doc, err := parseYAML([]byte("base: &b\n  zero_stage: 3\n  x: 1\nds:\n  <<: *b\n  x: 'true'\n  on: yes\n  y: true\n"))
	ds := child(doc, "ds")
	if err != nil || ds["zero_stage"] != 3 || ds["x"] != "true" || ds["y"] != true {
		t.Errorf("%v, %v", doc, err)
	}
}

// laughs is a YAML text of a few hundred bytes that stands for 10^n values.
func laughs(n int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [fsdp,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < n; i++ {
		ref := fmt.Sprintf("*a%d", i-1)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Join([]string{ref, ref, ref, ref, ref, ref, ref, ref, ref, ref}, ","))
	}
	return b.String()
}

func TestYAMLIsBounded(t *testing.T) {
	for name, text := range map[string]string{
		"aliases":  laughs(12),
		"itself":   "a: &a [*a]\n",
		"merges":   "a: &a\n  <<: *a\n",
		"deep":     "a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"deep map": "a: " + strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000),
	} {
		if doc, err := parseYAML([]byte(text)); err == nil {
			t.Errorf("%s: gives %d values", name, len(doc))
		}
	}
	if doc, err := parseYAML([]byte(laughs(3))); err != nil || doc["a2"] == nil {
		t.Errorf("a few aliases: %v", err)
	}
}

// judgeAll runs all that looks at a document.
func judgeAll(doc object) {
	j := judge{finder: &finder{pkgs: packages{}}}
	j.source(source{"f", doc})
	j.contradictions()
	j.writers()
	for _, r := range j.risks {
		_ = r.Message()
	}
}

func FuzzYAML(f *testing.F) {
	for _, text := range []string{
		"distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero_stage: 3\n", "a: &a [*a]", laughs(3), "a: {<<: [{b: 1}, 2]}",
		"fsdp: [a]\nfsdp_config: {state_dict_type: SHARDED_STATE_DICT}", "deepspeed: eyJ9", "? [a]\n: b",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if doc, err := parseYAML(data); err == nil {
			judgeAll(doc)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, text := range []string{
		`{"zero_optimization":{"stage":3}}`, `{"zero_optimization":true,"deepspeed":"e30="}`, "{/*", `{"a":"\"`, "{,}", "{#\n}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		strict, strictErr := strictJSON(data)
		doc, err := parseJSON(data)
		if strictErr == nil && (err != nil || len(doc) != len(strict)) {
			t.Fatalf("%q: %v", data, err)
		}
		if err == nil {
			judgeAll(doc)
		}
	})
}
