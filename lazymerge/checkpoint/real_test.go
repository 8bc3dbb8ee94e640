package checkpoint_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/checkpoint"
	"lorafs/safetensors"
)

// refused are the real checkpoints that have to be refused, and why.
var refused = map[string]string{
	"fsdp1-local": "each rank's part",
	"fsdp2-ranks": "each rank's part",
}

// realCases lists the checkpoints that integration/checkpoints has made.
func realCases(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*/checkpoint-2")
	if err != nil || len(dirs) < 20 {
		t.Fatalf("%d checkpoints, %v", len(dirs), err)
	}
	var names []string
	for _, d := range dirs {
		names = append(names, filepath.Base(filepath.Dir(d)))
	}
	return names
}

// TestRealCheckpoints compares every tensor with the truth: what DeepSpeed's own
// zero_to_fp32 makes of the checkpoint, or the parameters that FSDP was given.
func TestRealCheckpoints(t *testing.T) {
	for _, name := range realCases(t) {
		t.Run(name, func(t *testing.T) {
			c, err := checkpoint.Open(filepath.Join("testdata", name, "checkpoint-2"), checkpoint.Masters)
			if why := refused[name]; why != "" {
				if err == nil || !strings.Contains(err.Error(), why) {
					t.Fatalf("%v, want %q", err, why)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			masters := filepath.Join("testdata", name, "masters.safetensors")
			if _, err := os.Stat(masters); err != nil {
				return // the plain ones are their own truth; recovery compares them
			}
			want, err := safetensors.Open(masters)
			if err != nil {
				t.Fatal(err)
			}
			defer want.Close()
			compareAll(t, c, want, name)
			if err := c.Unchanged(); err != nil {
				t.Error(err)
			}
		})
	}
}

// compareAll holds every tensor against a file, whole and in pieces. zero_to_fp32 leaves
// out what stage 1 keeps in the module, FSDP with adapter_only what is frozen.
func compareAll(t *testing.T, c *checkpoint.Checkpoint, want *safetensors.File, name string) {
	seen := 0
	for _, w := range want.Tensors() {
		got := c.Tensor(w.Name)
		if got == nil {
			if !strings.Contains(name, "-adapter") {
				t.Errorf("lacks %s", w.Name)
			}
			continue
		}
		seen++
		if !slices.Equal(got.Shape, w.Shape) {
			t.Errorf("%s has shape %v, want %v", w.Name, got.Shape, w.Shape)
			continue
		}
		compare(t, got, w)
	}
	if seen == 0 && name != "fsdp1-full-adapter" {
		t.Error("nothing was compared")
	}
	for _, g := range c.Tensors {
		if want.Tensor(g.Name) == nil && g.Trained {
			t.Errorf("has %s, which is not in the truth", g.Name)
		}
	}
}

func compare(t *testing.T, got *checkpoint.Tensor, want *safetensors.Tensor) {
	t.Helper()
	if got.DType != want.DType {
		t.Errorf("%s is %s, want %s", got.Name, got.DType, want.DType)
		return
	}
	truth, err := want.Slice(0, want.Size())
	if err != nil {
		t.Fatal(err)
	}
	width := int64(got.DType.Bits() / 8)
	for _, step := range []int64{got.Elements(), 1, 7} {
		have := make([]byte, 0, len(truth))
		for at := int64(0); at < got.Elements(); at += step {
			piece := make([]byte, min(step, got.Elements()-at)*width)
			if err := got.ReadAt(piece, at); err != nil {
				t.Fatal(err)
			}
			have = append(have, piece...)
		}
		if !bytes.Equal(have, truth) {
			t.Errorf("%s differs, read %d elements at a time", got.Name, step)
		}
	}
}

// TestModelValues compares the values that the model computed with, where they are in
// the checkpoint beside the optimizer's.
func TestModelValues(t *testing.T) {
	for _, name := range realCases(t) {
		if !strings.HasPrefix(name, "stage1") && !strings.HasPrefix(name, "stage2") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir := copyCase(t, name)
			lost := "_optim_states.pt" // which are not needed for it
			if strings.HasPrefix(name, "stage1") {
				lost = "zero_pp_rank_0_mp_rank_00" + lost
			}
			removeMatching(t, dir, lost)
			c, err := checkpoint.Open(dir, checkpoint.Model)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			half, err := safetensors.Open(filepath.Join("testdata", name, "half.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer half.Close()
			for _, w := range half.Tensors() {
				plain := strings.TrimSuffix(w.Name, ".weight")
				for _, g := range c.Tensors {
					if strings.ReplaceAll(g.Name, ".default", "") == w.Name || g.Name == plain+".modules_to_save.default.weight" {
						compare(t, g, w)
					}
				}
			}
		})
	}
}

func copyCase(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkpoint-2")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name, "checkpoint-2"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// filesOf lists the files of a checkpoint, but for the adapter's config.
func filesOf(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(path) != "adapter_config.json" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func removeMatching(t testing.TB, dir, part string) {
	t.Helper()
	for _, f := range filesOf(t, dir) {
		if strings.Contains(filepath.Base(f), part) {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
	}
}
