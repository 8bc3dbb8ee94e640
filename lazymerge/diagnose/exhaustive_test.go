package diagnose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorafs/lazymerge/torchfile"
)

// errorTypes finds the exported types and variables of a package that are errors:
// what has an Error method, and what is called Err….
func errorTypes(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if name := errorType(d); ast.IsExported(name) {
				found = append(found, file.Name.Name+"."+name)
			}
		}
	}
	return found
}

func errorType(d ast.Decl) string {
	f, ok := d.(*ast.FuncDecl)
	if !ok || f.Recv == nil || f.Name.Name != "Error" || f.Type.Results == nil || f.Type.Params.NumFields() > 0 {
		return ""
	}
	receiver := f.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// TestEveryErrorIsExplained fails when a package gains an error type that Explain
// does not know.
func TestEveryErrorIsExplained(t *testing.T) {
	source, err := os.ReadFile("explain.go")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, root := range []string{"..", "../../safetensors"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() || d.Name() == "testdata" || d.Name() == "diagnose" {
				return err
			}
			for _, name := range errorTypes(t, path) {
				count++
				if !strings.Contains(string(source), "case *"+name+":") {
					t.Errorf("explain.go does not explain %s", name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if count < 30 {
		t.Fatalf("found only %d error types", count)
	}
}

// TestEveryKindHasACode checks the maps that are indexed by another package's
// constants.
func TestEveryKindHasACode(t *testing.T) {
	for kind, name := range kindCodes {
		find(name)
		if strings.HasPrefix(kind.String(), "Kind(") {
			t.Errorf("%d is no kind", kind)
		}
	}
	if next := len(kindCodes) + 1; !strings.HasPrefix(kindName(next), "Kind(") {
		t.Errorf("%s has no code", kindName(next))
	}
	for kind, name := range torchCodes {
		find(name)
		if kind.String() == torchfile.Kind(0).String() {
			t.Errorf("%d is no kind of torchfile", kind)
		}
	}
	if next := torchfile.Kind(len(torchCodes) + 1); next.String() != torchfile.Kind(0).String() {
		t.Errorf("%s has no code", next)
	}
	for found, name := range foundCodes {
		find(name)
		if found.String() == "" {
			t.Errorf("%d has no text", found)
		}
	}
	for fault, name := range faultCodes {
		find(name)
		if fault.String() == "" {
			t.Errorf("%d has no text", fault)
		}
	}
	for _, s := range shapes {
		find(s.code)
	}
}
