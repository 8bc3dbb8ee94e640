package checkpoint

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"lorafs/lazymerge/torchfile/pickle"
)

// FuzzMetadata reads the description of a distributed checkpoint out of any bytes. What
// is understood has to describe whole tensors.
func FuzzMetadata(f *testing.F) {
	found, err := filepath.Glob("testdata/*/checkpoint-2/pytorch_model_fsdp_0/.metadata")
	if err != nil || len(found) == 0 {
		f.Fatal(found, err)
	}
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := pickle.Decode(bytes.NewReader(text), pickle.Options{})
		if err != nil {
			return
		}
		m, err := parseMetadata("m", v)
		if err != nil {
			return
		}
		for _, d := range m.tensors {
			x := &Tensor{Name: d.name, DType: d.dtype, Shape: d.shape, grid: d.shape}
			for _, c := range d.chunks {
				x.chunks = append(x.chunks, chunk{offsets: c.offsets, sizes: c.sizes, from: zeros{}})
			}
			if x.checkTiling("m") == nil && x.Bytes() < 1<<20 {
				readOnce(t, x)
			}
		}
	})
}

// zeros stands for files.
type zeros struct{}

func (zeros) Verify(context.Context) error { return nil }

func (zeros) ReadAt(dst []byte, _ int64) error {
	for i := range dst {
		dst[i]++
	}
	return nil
}

// readOnce checks that each element is read, and once.
func readOnce(t *testing.T, x *Tensor) {
	b := make([]byte, x.Bytes())
	if err := x.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	for i, n := range b {
		if n != 1 {
			t.Fatalf("%q %v: byte %d was read %d times", x.Name, x.Shape, i, n)
		}
	}
}

// FuzzZero interprets rank files whose pickles are any bytes and whose storages are
// real. What is accepted has to be readable.
func FuzzZero(f *testing.F) {
	for _, name := range []string{"stage1-world2-bf16", "stage2-world2-aligned", "stage3-world2-bf16", "stage3-world2-fp32-subgroups"} {
		step := filepath.Join("testdata", name, "checkpoint-2/global_step2")
		var texts [][]byte
		for _, pattern := range []string{"*mp_rank_00_model_states.pt", "*rank_0_mp_rank_00_optim_states.pt"} {
			found, err := filepath.Glob(filepath.Join(step, pattern))
			if err != nil || len(found) == 0 {
				f.Fatal(found, err)
			}
			texts = append(texts, pickleOf(f, found[0]))
		}
		f.Add(texts[0], texts[1], strings.HasPrefix(name, "stage3"), uint8(2))
	}
	f.Fuzz(func(t *testing.T, model, optim []byte, ranked bool, world uint8) {
		dir := t.TempDir()
		for rank := range int(world%3) + 1 {
			writeZip(t, filepath.Join(dir, withRank("zero_pp_rank_0_mp_rank_00_optim_states.pt", rank)), optim)
			if ranked {
				writeZip(t, filepath.Join(dir, withRank("zero_pp_rank_0_mp_rank_00_model_states.pt", rank)), model)
			}
		}
		if !ranked {
			writeZip(t, filepath.Join(dir, "mp_rank_00_model_states.pt"), model)
		}
		for _, v := range []Values{Masters, Model} {
			c, err := Open(dir, v)
			if err != nil {
				continue
			}
			for _, x := range c.Tensors {
				if x.Bytes() > 1<<20 {
					t.Fatalf("%q has %d bytes", x.Name, x.Bytes())
				}
				if err := x.ReadAt(make([]byte, x.Bytes()), 0); err != nil {
					t.Logf("%v", err)
				}
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestFuzzSeeds checks that the fuzz targets begin with what is understood.
func TestFuzzSeeds(t *testing.T) {
	step := "testdata/stage3-world2-bf16/checkpoint-2/global_step2"
	dir := t.TempDir()
	for rank := range 2 {
		for _, name := range []string{"bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt", "zero_pp_rank_0_mp_rank_00_model_states.pt"} {
			writeZip(t, filepath.Join(dir, withRank(name, rank)), pickleOf(t, filepath.Join(step, name)))
		}
	}
	c, err := Open(dir, Masters)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if len(c.Tensors) != 33 {
		t.Errorf("%d tensors", len(c.Tensors))
	}
}

// pickleOf takes the pickle out of a zip file of torch.save.
func pickleOf(f testing.TB, path string) []byte {
	f.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		f.Fatal(err)
	}
	defer z.Close()
	for _, e := range z.File {
		if strings.HasSuffix(e.Name, "/data.pkl") {
			r, err := e.Open()
			if err != nil {
				f.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				f.Fatal(err)
			}
			return text
		}
	}
	f.Fatalf("%s has no pickle", path)
	return nil
}

// writeZip writes a pickle with storages of which each has more than the cases ask for.
func writeZip(t *testing.T, path string, text []byte) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("data.pkl", text)
	add("byteorder", []byte("little"))
	for i := range 100 {
		add("data/"+strconv.Itoa(i), make([]byte, 4096))
	}
	add("version", []byte("3\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
