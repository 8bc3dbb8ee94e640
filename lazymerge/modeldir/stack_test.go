package modeldir

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// parts writes a stack's parts as "dir@weight …", with directories relative to root.
func parts(root string, a Adapter) string {
	var out []string
	for _, p := range a.Parts {
		rel, err := filepath.Rel(root, p.Dir)
		if err != nil || strings.HasPrefix(rel, "..") {
			rel = filepath.Base(filepath.Dir(filepath.Dir(p.Dir))) // a cached repository
		}
		out = append(out, fmt.Sprintf("%s@%v", rel, p.Weight))
	}
	return strings.Join(out, " ")
}

func TestStacks(t *testing.T) {
	cache := noHub(t)
	hubRepo(t, cache)
	blobs := tree{"models--org--l/snapshots/cafe/adapter_config.json": loraConfig, "models--org--l/snapshots/cafe/adapter_model.safetensors": weights(t),
		"models--org--l/refs/main": "cafe", "models--org--l/refs/0.5": "cafe"}
	blobs.write(t, cache)
	dir := tree{}.with("a", lora(t)).with("b", lora(t)).with("c@0.5", lora(t)).with("a+b", lora(t)).with("x=a", lora(t)).with("d+1", lora(t)).write(t, t.TempDir())
	t.Chdir(dir)
	for ref, want := range map[string]string{
		"a@0.7+b@0.3":              "a@0.7 b@0.3",
		"b+a":                      "b@1 a@1",
		"a@-1e-3":                  "a@-0.001",
		"a@1e+2+b@.5":              "a@100 b@0.5",
		"a@+2":                     "a@2",
		"a+a":                      "a@1 a@1",
		"a@0":                      "a@0",
		"c@0.5@2":                  "c@0.5@2",            // a directory c@0.5
		"c@0.5+a":                  "c@0.5@1 a@1",        // it exists as written, so it has no weight
		"a+b@0.5":                  "a+b@0.5",            // the longest part that exists
		"a+b+a":                    "a+b@1 a@1",          //
		"b+a+b":                    "b@1 a+b@1",          //
		"b+d+1":                    "b@1 d+1@1",          //
		"x=a+b":                    "a+b@1",              // a name wins over a stack with x=a
		"x=a+a":                    "a@1 a@1",            //
		"x=a@2":                    "a@2",                //
		dir + "/a@2+" + dir + "/b": "a@2 b@1",            //
		"org/l@0.7":                "models--org--l@0.7", // no such revision
		"org/l@main@0.7+a":         "models--org--l@0.7 a@1",
		"a+org/l@0.5":              "a@1 models--org--l@1", // 0.5 is a revision
		"org/l@0.5@0.25+org/l":     "models--org--l@0.25 models--org--l@1",
	} {
		lib, err := FindAdapters([]string{ref})
		if ref == "x=a+b" {
			if err != nil || lib.Adapters[0].Parts != nil || lib.Adapters[0].Name != "x" {
				t.Errorf("%s: %+v, %v", ref, lib, err)
			}
			continue
		}
		if err != nil || len(lib.Adapters) != 1 {
			t.Errorf("%s: %+v, %v", ref, lib, err)
			continue
		}
		if got := parts(dir, lib.Adapters[0]); got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
		if named := strings.HasPrefix(ref, "x="); lib.Single == named || named != (lib.Adapters[0].Name == "x") {
			t.Errorf("%s: %+v", ref, lib)
		}
	}
	for _, ref := range []string{"c@0.5", "a+b", "x=a", "org/l@0.5"} {
		if lib, err := FindAdapters([]string{ref}); err != nil || lib.Adapters[0].Parts != nil {
			t.Errorf("%s exists as written: %+v, %v", ref, lib, err)
		}
	}
}

func TestStackNames(t *testing.T) {
	noHub(t)
	dir := tree{}.with("a", lora(t)).with("b", lora(t)).write(t, t.TempDir())
	t.Chdir(dir)
	lib, err := FindAdapters([]string{"a@0.7+b", "mix=a+b", "a"})
	if err != nil || adapterNames(lib) != "a a@0.7+b mix" {
		t.Errorf("%+v, %v", lib, err)
	}
}

func TestWrongStacks(t *testing.T) {
	noHub(t)
	dir := tree{"lib/x/none": ""}.with("lib/l", lora(t)).with("a", lora(t)).with("b", lora(t)).write(t, t.TempDir())
	t.Chdir(dir)
	for ref, want := range map[string]string{
		"a+":                            "a part is empty",
		"+a":                            "a part is empty",
		"a++b":                          "a part is empty",
		"a@x+b":                         `a@x: the weight "x" is not a number`,
		"a@":                            `the weight "" is not a number`,
		"a@0x10":                        `the weight "0x10" is not a number`,
		"a@1,5":                         `the weight "1,5" is not a number`,
		"a@nan+b":                       `the weight "nan" is not finite`,
		"b+a@-Inf":                      `the weight "-Inf" is not finite`,
		"a@1e39":                        "the weight 1e39 is too large",
		"a@1e999+b":                     "the weight 1e999 is too large",
		"a+lib":                         "lib: it is a library of adapters",
		strings.Repeat("a+", 100) + "a": "more than 64 parts",
	} {
		var stack *StackError
		if _, err := FindAdapters([]string{ref}); !errors.As(err, &stack) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
	var missing *NotFoundError
	for ref, want := range map[string]string{"a+zz": "zz", "a@0.7+zz@0.3": "zz", "zz@0.7": "zz@0.7", "yy+zz": "yy+zz", "zz": "zz"} {
		if _, err := FindAdapters([]string{ref}); !errors.As(err, &missing) || missing.Ref != want {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
	var part *StackPartError
	base := tree{"config.json": "{}", "model.safetensors": weights(t)}.write(t, t.TempDir())
	if _, err := FindAdapters([]string{"a+" + base}); !errors.As(err, &part) || part.Part != base {
		t.Errorf("a base as a part: %v", err)
	}
	long := strings.Repeat("a@0.25+", 60) + "b"
	if lib, err := FindAdapters([]string{long}); err == nil && len(lib.Adapters[0].Parts) != 61 || err != nil {
		t.Errorf("longer than a file name may be: %v", err)
	}
}
