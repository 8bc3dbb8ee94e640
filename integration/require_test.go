package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// requireVariable lists what the machine is said to have; a test that would
// skip for lack of one of these fails instead.
const requireVariable = "LORAFS_TEST_REQUIRE"

// skipWithout skips the test when the machine lacks a thing, the only way for a
// test of this package to skip.
func skipWithout(t testing.TB, thing string, missing error) {
	t.Helper()
	if missing == nil {
		return
	}
	if slices.Contains(strings.Split(os.Getenv(requireVariable), ","), thing) {
		t.Fatalf("%s requires %s: %v", requireVariable, thing, missing)
	}
	t.Skipf("without %s: %v", thing, missing)
}

func needFUSE(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		f.Close()
		_, err = exec.LookPath("fusermount3")
	}
	skipWithout(t, "fuse", err)
}

// needPython returns an interpreter that has the pinned PEFT.
func needPython(t testing.TB) string {
	t.Helper()
	python := os.Getenv("LORAFS_PYTHON")
	if python == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		python = filepath.Join(home, ".cache/lorafs/venv/bin/python")
	}
	_, err := exec.LookPath(python)
	skipWithout(t, "peft", err)
	return python
}
