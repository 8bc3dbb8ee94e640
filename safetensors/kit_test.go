package safetensors

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// vector is one file of testdata/kit.
type vector struct {
	name      string
	expect    string
	reference string // what the Rust library says, "" when the same
	tensors   int
	data      []byte
}

// readKit reads all vectors; none at all is a failure.
func readKit(tb testing.TB) []vector {
	tb.Helper()
	paths, err := filepath.Glob("testdata/kit/*.vec")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no vectors: %v", err)
	}
	kit := make([]vector, len(paths))
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		kit[i], err = parseVector(text)
		if err != nil {
			tb.Fatalf("%s: %v", path, err)
		}
		kit[i].name = strings.TrimSuffix(filepath.Base(path), ".vec")
	}
	return kit
}

func parseVector(text []byte) (v vector, err error) {
	head, data, ok := bytes.Cut(text, []byte("\n\n"))
	if !ok {
		return v, errors.New("no empty line")
	}
	v.data = data
	v.tensors = -1
	seen := map[string]string{}
	for _, line := range strings.Split(string(head), "\n") {
		key, value, ok := strings.Cut(line, ": ")
		if _, dup := seen[key]; !ok || dup || value == "" {
			return v, fmt.Errorf("line %q", line)
		}
		seen[key] = value
		switch key {
		case "expect":
			v.expect = value
		case "reference":
			v.reference = value
		case "tensors":
			v.tensors, err = strconv.Atoi(value)
		case "source", "comment":
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		if err != nil {
			return v, err
		}
	}
	return v, v.validate(seen)
}

func (v *vector) validate(seen map[string]string) error {
	switch {
	case !knownVerdict(v.expect):
		return fmt.Errorf("expect %q", v.expect)
	case v.reference != "" && (!knownVerdict(v.reference) || v.reference == v.expect):
		return fmt.Errorf("reference %q", v.reference)
	case (v.expect == "ok") != (v.tensors >= 0):
		return errors.New("tensors goes with ok")
	case seen["source"] == "" || seen["comment"] == "":
		return errors.New("source or comment is missing")
	}
	return nil
}

func knownVerdict(s string) bool {
	for _, k := range kinds[1:] {
		if k.name == s {
			return true
		}
	}
	return s == "ok"
}

// verdict says how ReadHeader judges data, in the words of the kit.
func verdict(tb testing.TB, data []byte) (*Header, string) {
	tb.Helper()
	h, err := ReadHeader(bytes.NewReader(data), int64(len(data)))
	if err == nil {
		return h, "ok"
	}
	e := (*Error)(nil)
	if !errors.As(err, &e) {
		tb.Fatalf("error %v is no *Error", err)
	}
	return nil, e.Kind.String()
}

func TestKit(t *testing.T) {
	for _, v := range readKit(t) {
		t.Run(v.name, func(t *testing.T) {
			h, got := verdict(t, v.data)
			if got != v.expect {
				t.Fatalf("verdict %s, want %s", got, v.expect)
			}
			if h == nil {
				return
			}
			if len(h.Entries) != v.tensors {
				t.Errorf("%d tensors, want %d", len(h.Entries), v.tensors)
			}
			checkAccepted(t, h, v.data)
		})
	}
}

func TestKitThroughFile(t *testing.T) {
	dir := t.TempDir()
	for _, v := range readKit(t) {
		path := filepath.Join(dir, v.name)
		if err := os.WriteFile(path, v.data, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if (err == nil) != (v.expect == "ok") {
			t.Errorf("%s: %v, want %s", v.name, err, v.expect)
		}
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) || e.Path != path {
				t.Errorf("%s: error %v lacks the path", v.name, err)
			}
			continue
		}
		checkData(t, f, v.data)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// checkData compares each tensor of f with the bytes of the file.
func checkData(t *testing.T, f *File, data []byte) {
	t.Helper()
	for i, e := range f.Header().Entries {
		tensor := f.Tensors()[i]
		got, err := tensor.Slice(0, tensor.Size())
		if err != nil {
			t.Fatal(err)
		}
		want := data[f.Header().DataStart+e.Begin : f.Header().DataStart+e.End]
		if !bytes.Equal(got, want) || f.Tensor(e.Name) != tensor || tensor.Path() != f.Path() {
			t.Errorf("%s: tensor %q differs", f.Path(), e.Name)
		}
	}
}

func TestParseVectorRefuses(t *testing.T) {
	good := "expect: ok\ntensors: 0\nsource: a\ncomment: b\n\n"
	if _, err := parseVector([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"",
		strings.TrimSuffix(good, "\n"),
		strings.Replace(good, "expect", "expects", 1),
		strings.Replace(good, "ok", "fine", 1),
		strings.Replace(good, "tensors: 0\n", "", 1),
		strings.Replace(good, "source: a\n", "", 1),
		strings.Replace(good, "source: a", "source: a\nsource: a", 1),
		strings.Replace(good, "comment: b", "comment: b\nreference: ok", 1),
	} {
		if _, err := parseVector([]byte(bad)); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}
