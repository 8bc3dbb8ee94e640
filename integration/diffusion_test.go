package integration

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"lorafs/safetensors"
)

// diffusionCase is a case as integration/diffusion/goldens.py describes it.
type diffusionCase struct {
	Base    string `json:"base"`
	Adapter string `json:"adapter"`
	Notes   string `json:"notes"`

	root, dir string
}

func (c *diffusionCase) base() string    { return filepath.Join(c.root, "bases", c.Base) }
func (c *diffusionCase) adapter() string { return filepath.Join(c.dir, c.Adapter) }

// diffusionVariable names further directories of cases, as PATH does.
const diffusionVariable = "LORAFS_DIFFUSION_GOLDENS"

// TestDiffusionGoldens compares mounts of adapters that are one file with the forward
// pass of LyCORIS and with what diffusers loads.
func TestDiffusionGoldens(t *testing.T) {
	roots := append([]string{"testdata/diffusion"}, filepath.SplitList(os.Getenv(diffusionVariable))...)
	for _, root := range roots {
		t.Run(filepath.Base(root), func(t *testing.T) {
			cases, err := filepath.Glob(filepath.Join(root, "cases", "*", "case.json"))
			if err != nil || len(cases) == 0 {
				t.Fatalf("no case under %s: %v", root, err)
			}
			var total tally
			t.Run("cases", func(t *testing.T) {
				for _, file := range cases {
					c := readDiffusionCase(t, root, file)
					t.Run(filepath.Base(c.dir), func(t *testing.T) {
						t.Parallel()
						c.test(t, &total)
					})
				}
			})
			total.check(t)
		})
	}
}

// TestAdapterFiles: files lie anywhere, beside the mount point too, and in libraries;
// one for another base is a diagnosis.
func TestAdapterFiles(t *testing.T) {
	needFUSE(t)
	root, dir := "testdata/diffusion", t.TempDir()
	for name, from := range map[string]string{"style": "sdxl-kohya", "wrong": "flux-kohya"} {
		b, err := os.ReadFile(filepath.Join(root, "cases", from, "adapter.safetensors"))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".safetensors"), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	base, mnt := filepath.Join(root, "bases/sdxl"), filepath.Join(dir, "mnt")
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, stderr, err := lorafs(t, "mount", base, filepath.Join(dir, "style.safetensors"), mnt); err != nil {
		t.Fatalf("beside the adapter: %v\n%s", err, stderr)
	}
	unmount(t, mnt)
	if err := os.Remove(mnt); err != nil {
		t.Fatal(err)
	}
	library := mounted(t, base, dir)
	if _, err := os.Stat(filepath.Join(library, "style/unet/diffusion_pytorch_model.safetensors")); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(filepath.Join(library, "wrong.INVALID"))
	if err != nil || !strings.Contains(string(text), "lora_unet_double_blocks_0_img_attn_proj.lora_down.weight") {
		t.Errorf("wrong.INVALID: %v\n%s", err, text)
	}
	_, stderr, err := lorafs(t, "mount", base, filepath.Join(dir, "wrong.safetensors"), t.TempDir())
	if code := exitCode(err); code != 1 || !strings.Contains(stderr, "tensor-unmatched") {
		t.Errorf("status %d\n%s", code, stderr)
	}
}

func readDiffusionCase(t *testing.T, root, file string) *diffusionCase {
	t.Helper()
	c := &diffusionCase{root: root, dir: filepath.Dir(file)}
	raw, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(raw, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *diffusionCase) test(t *testing.T, total *tally) {
	if c.Notes != "" {
		t.Log(c.Notes)
	}
	dir := mounted(t, c.base(), c.adapter())
	base, got := readTree(t, c.base()), readTree(t, dir)
	want := make(map[string]*safetensors.Tensor)
	for _, tensor := range openWeights(t, filepath.Join(c.dir, "merged.safetensors")).Tensors() {
		want[tensor.Name] = tensor
	}
	for name := range want {
		if base[name] == nil {
			t.Errorf("the golden's tensor %s is not in the base", name)
		}
	}
	for name, tensor := range base {
		served := got[name]
		if served == nil {
			t.Errorf("tensor %s is missing", name)
			continue
		}
		delete(got, name)
		expected, changed := want[name]
		if !changed {
			expected = tensor
		}
		c.compare(t, name, served, expected, tensor, changed, total)
	}
	for name := range got {
		t.Errorf("tensor %s does not belong here", name)
	}
	report, err := os.ReadFile(filepath.Join(dir, ".lorafs/report.txt"))
	if err != nil || !strings.Contains(string(report), "rounded once") {
		t.Errorf("report.txt does not say how sums are rounded: %v", err)
	}
}

func (c *diffusionCase) compare(t *testing.T, name string, served, want, base *safetensors.Tensor, changed bool, total *tally) {
	t.Helper()
	var v [3]values
	for i, tensor := range []*safetensors.Tensor{served, want, base} {
		var err error
		if v[i], err = readValues(tensor); err != nil {
			t.Fatal(err)
		}
	}
	floats, _ := v[2].floats() // nil of a tensor that is not one of floats
	off, problem := difference(v[0], v[1], merging{base: floats, noise: c.noise()})
	switch {
	case problem != nil:
		t.Errorf("tensor %s: %v", name, problem)
	case !changed && off > 0:
		t.Errorf("tensor %s is the base's, but %d elements differ", name, off)
	case changed:
		n, err := want.Elements()
		if err != nil {
			t.Fatal(err)
		}
		total.add(want.DType, int64(off), n)
	}
}

// noise is that of the algorithm by which the case is called.
func (c *diffusionCase) noise() noise {
	algorithm, _, _ := strings.Cut(filepath.Base(c.dir), "-")
	return noisyTypes[strings.ToUpper(algorithm)]
}

// readTree reads the tensors of a pipeline, by component and name, or of a checkpoint
// that is a file or the only one in a directory.
func readTree(t *testing.T, root string) map[string]*safetensors.Tensor {
	t.Helper()
	tensors := make(map[string]*safetensors.Tensor)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".safetensors" {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		if file == root {
			rel = "."
		}
		for _, tensor := range openWeights(t, file).Tensors() {
			tensors[path.Join(filepath.ToSlash(rel), tensor.Name)] = tensor
		}
		return nil
	})
	if err = errors.Join(err); err != nil || len(tensors) == 0 {
		t.Fatalf("%s: %d tensors, %v", root, len(tensors), err)
	}
	return tensors
}
