package diagnose

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/findings.md")

const docs = "../../docs/findings.md"

// lorafsCommand is a command line of lorafs in an advice.
var lorafsCommand = regexp.MustCompile(`\blorafs ([a-z]+)\b((?: --[a-z-]+)*)`)

// TestCodes checks the table's form. Advice may only name commands and flags that
// this version has.
func TestCodes(t *testing.T) {
	commands := []string{"mount", "umount", "ls", "export", "verify", "check", "doctor", "demo", "version"}
	flags := []string{"", "--allow-unused", "--allow-nonfinite", "--base", "--experts"}
	kebab := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	for i, c := range codes {
		if !kebab.MatchString(c.name) {
			t.Errorf("%q is no code", c.name)
		}
		if i > 0 && codes[i-1].name >= c.name {
			t.Errorf("%s stands behind %s", c.name, codes[i-1].name)
		}
		for _, text := range []string{c.title, c.cause, c.fix} {
			if text == "" {
				t.Errorf("%s lacks a title, a cause or a cure", c.name)
			}
			for _, p := range placeholder.FindAllString(text, -1) {
				if _, ok := names[p[1:len(p)-1]]; !ok {
					t.Errorf("%s: nothing fills %s", c.name, p)
				}
			}
			for _, m := range lorafsCommand.FindAllStringSubmatch(text, -1) {
				inCommand := strings.Contains(text, "\tlorafs "+m[1])
				if inCommand && (!slices.Contains(commands, m[1]) || !slices.Contains(flags, strings.TrimSpace(m[2]))) {
					t.Errorf("%s: advises %q", c.name, m[0])
				}
			}
			if strings.Contains(text, "lorafs recover") {
				t.Errorf("%s advises a command that does not exist", c.name)
			}
		}
		if strings.Contains(c.title, "\n") || strings.HasSuffix(c.title, ".") {
			t.Errorf("%s: title %q", c.name, c.title)
		}
	}
}

// document writes the page of all codes.
func document() string {
	var b strings.Builder
	b.WriteString("# Findings\n\n" +
		"What lorafs says about inputs that cannot be used, or not as intended. The codes are stable.\n" +
		"About adapters that training saved empty: [empty-adapter.md](empty-adapter.md).\n\n" +
		"<!-- Made from lazymerge/diagnose/codes.go: go test ./lazymerge/diagnose -update -->\n")
	for _, c := range codes {
		fmt.Fprintf(&b, "\n## %s\n\n%s (%s).\n\n**Cause.** %s\n\n**Cure.** %s\n", c.name, c.title, c.severity, page(c.cause), page(c.fix))
	}
	return b.String()
}

// page writes a text in Markdown, commands as code blocks.
func page(text string) string {
	var b strings.Builder
	inCode := false
	for i, line := range strings.Split(fill(text, nil), "\n") {
		command, isCommand := strings.CutPrefix(line, "\t")
		switch {
		case isCommand && !inCode:
			b.WriteString("\n\n```\n")
		case !isCommand && inCode:
			b.WriteString("\n```\n\n")
		case i > 0:
			b.WriteString("\n")
		}
		b.WriteString(command)
		inCode = isCommand
	}
	if inCode {
		b.WriteString("\n```")
	}
	return b.String()
}

func TestDocs(t *testing.T) {
	want := document()
	if *update {
		if err := os.MkdirAll(filepath.Dir(docs), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/findings.md is stale: go test ./lazymerge/diagnose -update")
	}
}
