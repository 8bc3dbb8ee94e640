package integration

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// torchTensor is what files.py says of a tensor.
type torchTensor struct {
	DType   string
	Shape   []int64
	Stride  []int64
	Values  string
	Opaque  bool
	Refused bool
}

// TestTorchFiles reads what the real torch writes, and compares names, shapes, dtypes
// and bytes.
func TestTorchFiles(t *testing.T) {
	python := needPython(t)
	dir := t.TempDir()
	if out, err := exec.Command(python, "torch/files.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("files.py: %v\n%s", err, out)
	}
	testTorchFiles(t, dir, 80)
}

// TestTorchFileSamples is TestTorchFiles without Python.
func TestTorchFileSamples(t *testing.T) {
	testTorchFiles(t, "../lazymerge/torchfile/testdata/samples", 10)
}

func testTorchFiles(t *testing.T, dir string, least int) {
	text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]map[string]torchTensor
	if err := json.Unmarshal(text, &files); err != nil {
		t.Fatal(err)
	}
	if len(files) < least {
		t.Fatalf("files.py made %d files", len(files))
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Run(name, func(t *testing.T) {
			f, err := torchfile.Open(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			found := make(map[string]any)
			walkTorch(f.Root(), "", found)
			compareTorch(t, files[name], found)
		})
	}
}

// walkTorch lists tensors and objects by the path that leads to them, as files.py does.
func walkTorch(v any, path string, found map[string]any) {
	below := func(key string, v any) {
		if path != "" {
			key = path + "/" + key
		}
		walkTorch(v, key, found)
	}
	switch v := v.(type) {
	case *pickle.Dict:
		for k, item := range v.All() {
			if s, ok := k.(string); ok {
				below(s, item)
			} else if n, ok := pickle.Int(k); ok {
				below(strconv.FormatInt(n, 10), item)
			}
		}
	case *pickle.List:
		for i, item := range v.Items {
			below(strconv.Itoa(i), item)
		}
	case pickle.Tuple:
		for i, item := range v {
			below(strconv.Itoa(i), item)
		}
	default:
		found[path] = v
	}
}

func compareTorch(t *testing.T, want map[string]torchTensor, found map[string]any) {
	for path, v := range found {
		if _, ok := v.(*torchfile.Tensor); ok && want[path].DType == "" && !want[path].Refused {
			t.Errorf("%q is a tensor, and was none", path)
		}
	}
	for path, w := range want {
		v, ok := found[path].(*torchfile.Tensor)
		if w.Opaque {
			if _, opaque := found[path].(*pickle.Object); !opaque {
				t.Errorf("%q is a %T, wanted an opaque object", path, found[path])
			}
			continue
		}
		if !ok {
			t.Errorf("%q is a %T, wanted a tensor", path, found[path])
			continue
		}
		if w.Refused {
			if _, err := v.Named(path); err == nil {
				t.Errorf("%q is read, wanted a refusal", path)
			}
			continue
		}
		compareTorchTensor(t, path, w, v)
	}
}

// torchNames are dtypes of torch by the names of safetensors.
var torchNames = map[string]safetensors.DType{
	"bool": safetensors.BOOL, "uint8": safetensors.U8, "int8": safetensors.I8, "int16": safetensors.I16, "uint16": safetensors.U16,
	"int32": safetensors.I32, "uint32": safetensors.U32, "int64": safetensors.I64, "uint64": safetensors.U64, "float16": safetensors.F16,
	"bfloat16": safetensors.BF16, "float32": safetensors.F32, "float64": safetensors.F64, "complex64": safetensors.C64,
	"float8_e4m3fn": safetensors.F8E4M3, "float8_e5m2": safetensors.F8E5M2, "float8_e4m3fnuz": safetensors.F8E4M3FNUZ,
	"float8_e5m2fnuz": safetensors.F8E5M2FNUZ, "float8_e8m0fnu": safetensors.F8E8M0,
}

func compareTorchTensor(t *testing.T, path string, w torchTensor, v *torchfile.Tensor) {
	if v.DType != torchNames[w.DType] || !slices.Equal(v.Shape, w.Shape) || !slices.Equal(v.Stride, w.Stride) {
		t.Errorf("%q is %s %v by %v, wanted %s %v by %v", path, v.DType, v.Shape, v.Stride, w.DType, w.Shape, w.Stride)
		return
	}
	values, err := hex.DecodeString(w.Values)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, v.Bytes())
	if err := v.ReadAt(got, 0); err != nil || !slices.Equal(got, values) {
		t.Errorf("%q: %x, %v; wanted %x", path, got, err, values)
		return
	}
	named, err := v.Named(path)
	if err != nil {
		t.Errorf("%q: %v", path, err)
		return
	}
	if b, err := named.Slice(0, named.Size()); err != nil || !slices.Equal(b, values) {
		t.Errorf("%q by Named: %x, %v; wanted %x", path, b, err, values)
	}
	comparePart(t, path, v, values)
}

// comparePart reads all parts of a tensor of few elements.
func comparePart(t *testing.T, path string, v *torchfile.Tensor, values []byte) {
	n := v.Elements()
	if n == 0 {
		return
	}
	width := v.Bytes() / n
	for first := range min(n, 40) {
		for end := first; end <= min(n, first+40); end++ {
			part := make([]byte, (end-first)*width)
			if err := v.ReadAt(part, first); err != nil || !slices.Equal(part, values[first*width:end*width]) {
				t.Fatalf("%q elements [%d, %d): %x, %v", path, first, end, part, err)
			}
		}
	}
}

// everyNth thins the golden cases out: each is mounted twice.
const everyNth = 12

// TestTorchAdapters mounts golden adapters whose weights torch.save has written, and
// compares every file with what the safetensors show.
func TestTorchAdapters(t *testing.T) {
	python := needPython(t)
	needFUSE(t)
	var cases []*golden
	args := []string{"torch/adapters.py", t.TempDir()}
	for i, g := range readGoldens(t, "testdata/goldens") {
		if i%everyNth == 0 && g.Stack == nil && g.Expect != "refuse" {
			cases = append(cases, g)
			args = append(args, g.adapter())
		}
	}
	if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		t.Fatalf("adapters.py: %v\n%s", err, out)
	}
	for i, g := range cases {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			want := mounted(t, append(g.flags(), g.base, g.adapter())...)
			got := mounted(t, append(g.flags(), g.base, filepath.Join(args[1], strconv.Itoa(i)))...)
			sameFiles(t, want, got)
		})
	}
}

// sampleTorchAdapter is the adapter of a golden case, saved by torch.save.
const sampleTorchAdapter, sampleTorchCase = "testdata/torch/adapter", "llama-all-linear"

// TestTorchSample is TestTorchAdapters without Python.
func TestTorchSample(t *testing.T) {
	needFUSE(t)
	g, err := readGolden("testdata/goldens", filepath.Join("testdata/goldens/cases", sampleTorchCase))
	if err != nil {
		t.Fatal(err)
	}
	sameFiles(t, mounted(t, append(g.flags(), g.base, g.adapter())...), mounted(t, append(g.flags(), g.base, sampleTorchAdapter)...))
}

// TestTorchSingleFile: an adapter that is one file may be of torch.save.
func TestTorchSingleFile(t *testing.T) {
	python := needPython(t)
	needFUSE(t)
	const root = "testdata/diffusion"
	from, to := filepath.Join(root, "cases/sdxl-kohya/adapter.safetensors"), filepath.Join(t.TempDir(), "style.ckpt")
	const script = "import sys, torch; from safetensors.torch import load_file; torch.save(load_file(sys.argv[1]), sys.argv[2])"
	if out, err := exec.Command(python, "-c", script, from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	base := filepath.Join(root, "bases/sdxl")
	sameFiles(t, mounted(t, base, from), mounted(t, base, to))
}

// sameFiles compares the files that two mounts show.
func sameFiles(t *testing.T, want, got string) {
	t.Helper()
	a, b := shown(t, want), shown(t, got)
	if len(a) == 0 || !maps.EqualFunc(a, b, bytes.Equal) {
		t.Errorf("%d files and %d differ", len(a), len(b))
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

// shown reads the files of a mount, but for its own reports.
func shown(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == ".lorafs" {
				return fs.SkipDir
			}
			return err
		}
		files[strings.TrimPrefix(path, dir)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
