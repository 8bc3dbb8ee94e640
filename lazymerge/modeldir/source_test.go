package modeldir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// source is the only one that ref leads to.
func source(t *testing.T, refs ...string) *Source {
	t.Helper()
	lib, err := FindAdapters(refs)
	if err != nil {
		t.Fatal(err)
	}
	return lib.Sources[0]
}

// seen is what a look at the source finds, by name: "" for nothing.
func seen(t *testing.T, s *Source) map[string]string {
	t.Helper()
	adapters, err := s.Look()
	if err != nil {
		t.Fatal(err)
	}
	marks := make(map[string]string)
	for _, a := range adapters {
		if a.Marks == "" {
			t.Errorf("%s has no marks", a.Name)
		}
		marks[a.Name] = a.Marks
	}
	return marks
}

// trust lets the next look rely on what the last one has found.
func (s *Source) trust() {
	for path, k := range s.known {
		k.when = time.Now().Add(time.Hour)
		s.known[path] = k
	}
}

func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLookAgain changes a library in ways that a look has to see, one at a time, whether
// it relies on the look before or not.
func TestLookAgain(t *testing.T) {
	noHub(t)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string // names, + added, - gone, * changed
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"added", func(t *testing.T, dir string) { tree{}.with("c", lora(t)).write(t, dir) }, "+c"},
		{"a file added", func(t *testing.T, dir string) { tree{"k.safetensors": weights(t)}.write(t, dir) }, "+k"},
		{"removed", func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "a"))) }, "-a"},
		{"a file removed", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "one.safetensors"))) }, "-one"},
		{"replaced", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "a/adapter_model.safetensors")
			info, err := os.Stat(path)
			must(t, err)
			replace(t, path, weights(t))
			must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}, "*a"},
		{"a file replaced", func(t *testing.T, dir string) { replace(t, filepath.Join(dir, "one.safetensors"), weights(t)) }, "*one"},
		{"written in place", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "a/adapter_config.json"), []byte(loraConfig), 0o644))
		}, "*a"},
		{"given a tokenizer", func(t *testing.T, dir string) { tree{"a/tokenizer.json": "{}"}.write(t, dir) }, "*a"},
		{"exchanged", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, ".old")))
			tree{}.with("a", lora(t)).write(t, dir)
		}, "*a"},
		{"damaged", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "a/adapter_model.safetensors"))) }, "*a"},
		{"a template beside one", func(t *testing.T, dir string) { tree{"a/additional_chat_templates/y.jinja": "y"}.write(t, dir) }, "*a"},
		{"an empty checkpoint filled", func(t *testing.T, dir string) { tree{}.with("slow/checkpoint-1", lora(t)).write(t, dir) }, "+slow"},
		{"a checkpoint", func(t *testing.T, dir string) { tree{}.with("run/checkpoint-2", lora(t)).write(t, dir) }, "*run"},
		{"renamed", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "z")))
		}, "+z -a"},
		{"made an adapter", func(t *testing.T, dir string) { tree{}.with("other", lora(t)).write(t, dir) }, "+other"},
		{"a link that leads elsewhere", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "link")))
			must(t, os.Symlink("run/checkpoint-1", filepath.Join(dir, "link")))
		}, "*link"},
		{"emptied", func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir))
			mustDir(t, dir)
		}, "-a -b -link -one -run"},
		{"gone", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, "-a -b -link -one -run"},
	} {
		for _, relies := range []bool{false, true} {
			dir := filepath.Join(t.TempDir(), "library")
			tree{"one.safetensors": weights(t), "other/readme": "", "link": "-> b", "slow/checkpoint-1/": "", "a/additional_chat_templates/x.jinja": "x"}.
				with("a", lora(t)).with("b", lora(t)).with("run/checkpoint-1", lora(t)).write(t, dir)
			s := source(t, dir)
			before := seen(t, s)
			if relies {
				s.trust()
			}
			c.change(t, dir)
			if got := changes(before, seen(t, s)); got != c.want {
				t.Errorf("%s, relying %t: %q, want %q", c.name, relies, got, c.want)
			}
		}
	}
}

func changes(before, after map[string]string) string {
	kinds := make(map[string]bool)
	for name := range after {
		switch {
		case before[name] == "":
			kinds["+"+name] = true
		case before[name] != after[name]:
			kinds["*"+name] = true
		}
	}
	for name := range before {
		if after[name] == "" {
			kinds["-"+name] = true
		}
	}
	return strings.Join(sorted(kinds), " ")
}

// TestLookRelies sees that what has not changed is not opened again: it looks a
// directory's names up in what it knows.
func TestLookRelies(t *testing.T) {
	noHub(t)
	dir := tree{}.with("a", lora(t)).write(t, t.TempDir())
	s := source(t, dir)
	path, err := filepath.EvalSymlinks(filepath.Join(dir, "a"))
	must(t, err)
	seen(t, s)
	first := s.known[path].when
	if seen(t, s); !s.known[path].when.After(first) {
		t.Error("a look relies on times that are new")
	}
	s.trust()
	first = s.known[path].when
	if seen(t, s); !s.known[path].when.Equal(first) {
		t.Error("what has not changed is opened again")
	}
	k := s.known[path]
	k.when = time.Now().Add(-2 * relook)
	s.known[path] = k
	if seen(t, s); s.known[path].when.Equal(k.when) {
		t.Error("a look relies on times for ever")
	}
}

// TestLookAtAnotherLibrary: a link that leads to another library shows all of that.
func TestLookAtAnotherLibrary(t *testing.T) {
	noHub(t)
	root := tree{"cur": "-> v1"}.with("v1/a", lora(t)).with("v2/a", lora(t)).write(t, t.TempDir())
	s := source(t, filepath.Join(root, "cur"))
	before := seen(t, s)
	s.trust()
	must(t, os.Remove(filepath.Join(root, "cur")))
	must(t, os.Symlink("v2", filepath.Join(root, "cur")))
	if got := changes(before, seen(t, s)); got != "*a" {
		t.Errorf("%q", got)
	}
}

func TestLookAtOneAdapter(t *testing.T) {
	noHub(t)
	root := tree{}.with("a", lora(t)).with("b", lora(t)).write(t, t.TempDir())
	t.Chdir(root)
	s := source(t, "x=a", "b")
	t.Chdir("/")
	before := seen(t, s)
	if before["x"] == "" || len(before) != 1 {
		t.Fatalf("%v", before)
	}
	must(t, os.Rename(filepath.Join(root, "a"), filepath.Join(root, "c")))
	if got := changes(before, seen(t, s)); got != "-x" {
		t.Errorf("moved away: %q", got)
	}
	tree{"d/readme": ""}.with("a/one", lora(t)).write(t, root)
	adapters, err := s.Look()
	if err != nil || len(adapters) != 1 || adapters[0].Name != "x" || adapters[0].Err == nil {
		t.Errorf("a library in its place: %+v, %v", adapters, err)
	}
	s = source(t, filepath.Join(root, "b")+"+"+filepath.Join(root, "c"), filepath.Join(root, "b"))
	before = seen(t, s)
	replace(t, filepath.Join(root, "c/adapter_config.json"), loraConfig)
	if after := seen(t, s); len(before) != 1 || len(after) != 1 || changes(before, after) == "" {
		t.Errorf("a part of a stack was replaced: %v", after)
	}
}

func TestLookThatFails(t *testing.T) {
	noHub(t)
	root := tree{}.with("lib/a", lora(t)).write(t, t.TempDir())
	s := source(t, filepath.Join(root, "lib"))
	tree{"lib/adapter_config.json": loraConfig}.write(t, root)
	if adapters, err := s.Look(); err == nil {
		t.Errorf("a library that became an adapter: %+v", adapters)
	}
	must(t, os.Remove(filepath.Join(root, "lib/adapter_config.json")))
	if got := seen(t, s); got["a"] == "" {
		t.Errorf("%v", got)
	}
}

func TestLookAtWhatMayNotBeRead(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("SKIPPED: root may read every directory")
	}
	noHub(t)
	root := tree{}.with("lib/a", lora(t)).write(t, t.TempDir())
	s := source(t, filepath.Join(root, "lib"))
	must(t, os.Chmod(filepath.Join(root, "lib"), 0))
	t.Cleanup(func() { must(t, os.Chmod(filepath.Join(root, "lib"), 0o755)) })
	if adapters, err := s.Look(); err == nil {
		t.Errorf("a library that may not be read: %+v", adapters)
	}
}
