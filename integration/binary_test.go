package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds each command of a test. It is long: what it has to catch is a
// hang on a busy machine, not slowness.
const patience = 2 * time.Minute

var buildDir string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lorafs-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	buildDir = dir
	return m.Run()
}

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "lorafs")
	out, err := exec.Command("go", "build", "-o", path, "lorafs/cmd/lorafs").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, err
})

// program returns the path of the lorafs binary, built when first asked for.
func program(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// lorafs runs the program and returns its output; a status other than 0 is an
// *exec.ExitError.
func lorafs(t testing.TB, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, errs := new(bytes.Buffer), new(bytes.Buffer)
	cmd := exec.CommandContext(ctx, program(t), args...)
	cmd.Stdout, cmd.Stderr = out, errs
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("lorafs %s: no end after %v\n%s", strings.Join(args, " "), patience, errs)
	}
	return out.String(), errs.String(), err
}

// mounted mounts with the given arguments and returns the mount point, which is
// unmounted by the program itself when the test ends.
func mounted(t testing.TB, args ...string) string {
	t.Helper()
	needFUSE(t)
	dir := t.TempDir()
	if _, stderr, err := lorafs(t, append(append([]string{"mount"}, args...), dir)...); err != nil {
		t.Fatalf("lorafs mount %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir
}

func unmount(t testing.TB, dir string) {
	cmd := exec.Command(program(t), "umount", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("lorafs umount: %v\n%s", err, out)
	}
	if isMounted(t, dir) {
		t.Errorf("%s is still mounted after lorafs umount", dir)
		// The temporary directory cannot be removed under a mount.
		if out, err := exec.Command("fusermount3", "-uz", dir).CombinedOutput(); err != nil {
			t.Errorf("fusermount3 -uz: %v\n%s", err, out)
		}
	}
}

func isMounted(t testing.TB, dir string) bool {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(raw), " "+dir+" ")
}

// exitCode returns the status of a program that ended, -1 for one that did not.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}
