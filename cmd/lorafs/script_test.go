package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lorafs": main, "daemon-child": daemonChild})
}

func TestScripts(t *testing.T) {
	requireFUSE(t)
	// Under nohup SIGHUP is ignored, and programs inherit that but for signals that are caught.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangup) })
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"demodata": unpackDemoData,
			"status":   wantStatus,
			"finds":    wantFinding,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "fuse":
				return mountable(examineMachine(thisMachine())), nil
			case "namespaces":
				return exec.Command("unshare", "-rm", "true").Run() == nil, nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NO_COLOR", "1")
			checkpoints, err := filepath.Abs("../../lazymerge/checkpoint/testdata")
			if err != nil {
				return err
			}
			env.Setenv("CHECKPOINTS", checkpoints)
			env.Defer(func() { failOnLeftMounts(env.T(), env.WorkDir) })
			return nil
		},
	})
}

// requireFUSE makes a missing FUSE a failure where the machine is known to have it.
func requireFUSE(t *testing.T) {
	t.Helper()
	required := slices.Contains(strings.Split(os.Getenv("LORAFS_TEST_REQUIRE"), ","), "fuse")
	if required && !mountable(examineMachine(thisMachine())) {
		t.Fatal("LORAFS_TEST_REQUIRE names fuse, and this machine cannot mount")
	}
}

// unpackDemoData writes the program's own base, adapters and expected merges to the
// working directory, with a fixed time, so that goldens can hold it.
func unpackDemoData(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: demodata")
	}
	dir := ts.MkAbs(".")
	sub, err := fs.Sub(demodata, "demodata")
	ts.Check(err)
	ts.Check(os.CopyFS(dir, sub))
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ts.Check(filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		return os.Chtimes(p, when, when)
	}))
}

// wantStatus runs a program and holds its exit status against the first argument.
func wantStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with status %d, want %d\n%s%s", args[1], got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

var findingCode = regexp.MustCompile(`(?m)^\[(?:broken|warning|note)\] (\S+)$`)

// wantFinding runs a program whose only finding has the code, or none if that is "nothing".
func wantFinding(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: finds CODE|nothing PROGRAM ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	text := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	if healthy := args[0] == "nothing"; healthy != (err == nil) {
		ts.Fatalf("%v\n%s", err, text)
	}
	var codes []string
	for _, m := range findingCode.FindAllStringSubmatch(text, -1) {
		codes = append(codes, m[1])
	}
	if found := cmp.Or(strings.Join(codes, " "), "nothing"); found != args[0] {
		ts.Fatalf("found %s, want %s\n%s", found, args[0], text)
	}
}

// failOnLeftMounts fails a script that leaves a mount behind, and removes it.
func failOnLeftMounts(t testscript.T, dir string) {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir) {
			_ = exec.Command("umount", "-l", f[1]).Run()
			t.Fatal("left mounted: ", f[1])
		}
	}
}

// Every command has a script that runs it well, with wrong usage, with what makes
// it fail, and for its JSON. Those listed cannot fail once their usage is right.
func TestEveryCommandHasScript(t *testing.T) {
	cannotFail := []string{"version", "completion", "man"}
	for _, c := range newApp(testApp().io, cacheDefault).Commands {
		if c.Name == "help" {
			continue
		}
		b, err := os.ReadFile(filepath.Join("testdata/script", c.Name+".txtar"))
		if err != nil {
			t.Errorf("command %s has no script: %v", c.Name, err)
			continue
		}
		for _, want := range scriptNeeds(c, slices.Contains(cannotFail, c.Name)) {
			if !strings.Contains(string(b), want) {
				t.Errorf("the script of %s lacks a line with %q", c.Name, want)
			}
		}
	}
}

func scriptNeeds(c *cli.Command, cannotFail bool) []string {
	needs := []string{"exec lorafs " + c.Name, "status 2 lorafs " + c.Name}
	if !cannotFail {
		needs = append(needs, "status 1 ")
	}
	for _, f := range c.Flags {
		if slices.Contains(f.Names(), "json") {
			needs = append(needs, "--json")
		}
	}
	return needs
}
