package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
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
