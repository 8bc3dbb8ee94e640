package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"lorafs/lazymerge"
	"lorafs/lazymerge/diagnose"
	"lorafs/lazymerge/recovery"
)

// foreignFlags are flags of other programs that the README shows.
var foreignFlags = []string{
	"--cap-add", "--device", // docker
	"--safetensors-load-strategy",                  // vLLM
	"--model-path", "--weight-loader-disable-mmap", // SGLang
	"--outfile",           // llama.cpp
	"--model", "--prompt", // mlx-lm
}

func TestCommandReference(t *testing.T) {
	got, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != manual(newApp(testApp().io, cacheDefault), true) {
		t.Error("docs/cli.md is stale; go generate ./cmd/lorafs writes it")
	}
}

// The README names no command and no flag that does not exist.
func TestReadmeIsTrue(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	app := newApp(testApp().io, cacheDefault)
	var all []string
	for _, c := range app.Commands {
		all = append(all, longFlags(c)...)
	}
	flag := regexp.MustCompile(`--[a-z][a-z-]+`)
	for _, f := range flag.FindAllString(string(b), -1) {
		if !slices.Contains(all, f) && !slices.Contains(foreignFlags, f) {
			t.Errorf("README.md has %s, which is no flag", f)
		}
	}
	commands := regexp.MustCompile("(?:`|    |\\./cmd/)lorafs ([a-z]+)([^`#\n]*)").FindAllStringSubmatch(string(b), -1)
	if len(commands) < 8 {
		t.Fatalf("README.md shows %d command lines, so they were not found", len(commands))
	}
	for _, m := range commands {
		c := app.Command(m[1])
		if c == nil {
			t.Errorf("README.md has %q, which is no command", strings.TrimSpace(m[0]))
			continue
		}
		for _, f := range flag.FindAllString(m[2], -1) {
			if !slices.Contains(longFlags(c), f) {
				t.Errorf("README.md has %q, but %s has no %s", strings.TrimSpace(m[0]), m[1], f)
			}
		}
	}
}

func longFlags(c *cli.Command) []string {
	var out []string
	for _, f := range c.Flags {
		for _, n := range f.Names() {
			out = append(out, "--"+n)
		}
	}
	return out
}

// TestJSONReference holds docs/json.md against the types that are printed.
func TestJSONReference(t *testing.T) {
	b, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]any{
		"check": diagnose.Result{}, "findings": diagnose.Finding{}, "ls": listing{}, "stack": lazymerge.Layer{},
		"verify": lazymerge.Verdict{}, "export": exported{}, "recover": recovery.Result{}, "doctor": examination{},
		"bench": benchResult{}, "version": versionInfo{}, "report.json": lazymerge.Report{},
	}
	for _, c := range newApp(testApp().io, cacheDefault).Commands {
		if slices.Contains(longFlags(c), "--json") && printed[c.Name] == nil {
			t.Errorf("%s prints JSON of which docs/json.md says nothing", c.Name)
		}
	}
	ownSection := []reflect.Type{reflect.TypeFor[diagnose.Finding](), reflect.TypeFor[lazymerge.Layer]()}
	for _, section := range strings.Split(string(b), "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		value, ok := printed[name]
		if !ok {
			t.Errorf("no type is printed as the section %s says", name)
			continue
		}
		delete(printed, name)
		want := jsonFields(reflect.TypeOf(value), ownSection)
		for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` ").FindAllStringSubmatch(text, -1) {
			if !want[m[1]] {
				t.Errorf("%s has no field %s", name, m[1])
			}
			delete(want, m[1])
		}
		for field := range want {
			t.Errorf("the section %s lacks the field %s", name, field)
		}
	}
	for name := range printed {
		t.Errorf("docs/json.md has no section %s", name)
	}
}

// jsonFields are the names of a struct's fields and of those of the structs in it, but not
// of others that have a section of their own.
func jsonFields(of reflect.Type, others []reflect.Type) map[string]bool {
	names := make(map[string]bool)
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" && !f.Anonymous {
			continue
		}
		if name != "" {
			names[name] = true
		}
		inner := f.Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && !slices.Contains(others, inner) {
			for n := range jsonFields(inner, others) {
				names[n] = true
			}
		}
	}
	return names
}
