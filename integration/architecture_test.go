package integration

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "lorafs"

var code = regexp.MustCompile("`([^`]+)`")

// importRules reads the table under "## Imports" of docs/architecture.md.
func importRules(t *testing.T) map[string][]string {
	t.Helper()
	raw, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(raw), "\n## Imports\n")
	if !ok {
		t.Fatal("docs/architecture.md has no section Imports")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rules := make(map[string][]string)
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		name := code.FindStringSubmatch(cells[1])
		if name == nil {
			continue
		}
		allowed := []string{}
		for _, m := range code.FindAllStringSubmatch(cells[2], -1) {
			allowed = append(allowed, m[1])
		}
		rules[name[1]] = allowed
	}
	if len(rules) == 0 {
		t.Fatal("the table of imports is empty")
	}
	return rules
}

// packages lists the directories of the module that hold Go code other than tests,
// with the packages of this module that they import.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	err := filepath.WalkDir("..", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel("..", filepath.Dir(p))
		if err != nil {
			return err
		}
		dir = filepath.ToSlash(dir)
		if f.Name.Name == "main" && !strings.HasPrefix(dir, "cmd/") {
			return nil // generators
		}
		imports := found[dir]
		for _, i := range f.Imports {
			name := strings.Trim(i.Path.Value, `"`)
			if rest, ours := strings.CutPrefix(name, module+"/"); ours && !slices.Contains(imports, rest) {
				imports = append(imports, rest)
			}
		}
		found[dir] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestImportsFollowTheDocument(t *testing.T) {
	rules := importRules(t)
	found := packages(t)
	for dir, imports := range found {
		allowed, ok := rules[dir]
		if !ok {
			t.Errorf("package %s is not in the table of docs/architecture.md", dir)
			continue
		}
		if slices.Contains(allowed, "*") {
			continue
		}
		for _, i := range imports {
			if !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s, which docs/architecture.md does not allow", dir, i)
			}
		}
	}
	for dir := range rules {
		if _, ok := found[dir]; !ok && dir != "integration" {
			t.Errorf("docs/architecture.md lists %s, which does not exist", dir)
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	for dir := range packages(t) {
		comments := 0
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range files {
			if strings.HasSuffix(p, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil && f.Name.Name != "documentation" {
				comments++
			}
		}
		if comments != 1 {
			t.Errorf("package %s has %d package comments, want 1", dir, comments)
		}
	}
}

// Advice to users lives in diagnose and in the commands.
func TestAdviceLivesInOnePlace(t *testing.T) {
	advice := regexp.MustCompile(`"[^"\n]*\b(try |please |you can |you should |run lorafs|did you)[^"\n]*"`)
	for dir := range packages(t) {
		if dir == "lazymerge/diagnose" || dir == "cmd/lorafs" || dir == "integration" {
			continue
		}
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range files {
			raw, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			if m := advice.Find(raw); m != nil && !strings.HasSuffix(p, "_test.go") {
				t.Errorf("%s gives advice: %s", p, m)
			}
		}
	}
}
