package integration

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLiveLibrary changes a library while it is mounted.
func TestLiveLibrary(t *testing.T) {
	const goldens = "testdata/goldens/cases"
	base := "testdata/goldens/bases/llama-bf16"
	one, other := filepath.Join(goldens, "llama-all-linear", "adapter"), filepath.Join(goldens, "adalora-llama", "adapter")
	library, further := t.TempDir(), t.TempDir()
	copyDir(t, one, filepath.Join(library, "a"))
	copyDir(t, one, filepath.Join(further, "z"))
	dir := mounted(t, base, library, further)
	model := func(name string) string { return filepath.Join(dir, name, "model.safetensors") }
	await(t, dir, "a z")

	before, err := os.Open(model("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	first, second := mustRead(t, model("a")), mustRead(t, filepath.Join(mounted(t, base, other), "model.safetensors"))
	if slices.Equal(first, second) {
		t.Fatal("both adapters give the same model")
	}

	copyDir(t, other, filepath.Join(library, "b"))
	await(t, dir, "a b z")
	if !slices.Equal(mustRead(t, model("b")), second) {
		t.Error("what was added is not the merged model")
	}
	weights := filepath.Join(library, "b", "adapter_model.safetensors")
	replaceFile(t, weights, []byte("\x20\x00\x00\x00\x00\x00\x00\x00{\"__metadata__\":{\"format\":\"pt\"}}"))
	await(t, dir, "a b.INVALID z")
	if text := mustRead(t, filepath.Join(dir, "b.INVALID")); !strings.Contains(string(text), "weights-empty") {
		t.Errorf("b.INVALID says:\n%s", text)
	}
	replaceFile(t, weights, mustRead(t, filepath.Join(other, "adapter_model.safetensors")))
	await(t, dir, "a b z")

	exchange(t, filepath.Join(library, "a"), other)
	awaitFile(t, model("a"), second)
	if open, err := io.ReadAll(before); err != nil || !slices.Equal(open, first) {
		t.Errorf("a file that was open has other bytes, or: %v", err)
	}

	copyDir(t, other, filepath.Join(library, "z")) // of a name that is taken
	copyDir(t, one, filepath.Join(library, "y"))
	await(t, dir, "a b y z")
	if !slices.Equal(mustRead(t, model("z")), first) {
		t.Error("an adapter has taken the name of another")
	}
	if err := os.RemoveAll(filepath.Join(further, "z")); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, model("z"), second)
	for _, name := range []string{"a", "b", "y", "z"} {
		if err := os.RemoveAll(filepath.Join(library, name)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, dir, "")
}

// await waits until the mount lists the names.
func await(t *testing.T, dir, want string) {
	t.Helper()
	got := ""
	eventually(t, func() bool {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			if e.Name() != ".lorafs" {
				names = append(names, e.Name())
			}
		}
		got = strings.Join(names, " ")
		return got == want
	}, func() string { return "the mount lists " + got + ", want " + want })
}

func awaitFile(t *testing.T, path string, want []byte) {
	t.Helper()
	eventually(t, func() bool {
		got, err := os.ReadFile(path)
		return err == nil && slices.Equal(got, want)
	}, func() string { return path + " has not the new bytes" })
}

func eventually(t *testing.T, holds func() bool, problem func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(problem())
		}
	}
}

// exchange puts a copy of an adapter in the place of another.
func exchange(t *testing.T, dir, with string) {
	t.Helper()
	library := filepath.Dir(dir)
	incoming, outgoing := filepath.Join(library, ".incoming"), filepath.Join(library, ".outgoing")
	copyDir(t, with, incoming)
	for _, err := range []error{os.Rename(dir, outgoing), os.Rename(incoming, dir), os.RemoveAll(outgoing)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func replaceFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
