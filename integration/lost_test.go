package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"lorafs/cache"
	"lorafs/lazymerge"
	"lorafs/lazymerge/modeldir"
	"lorafs/safetensors"
)

func TestExplore(t *testing.T) {
	c := cache.New[lazymerge.Key](64 << 20)
	out, _ := os.Create("/tmp/lost/explore.txt")
	for _, g := range readGoldens(t, "testdata/goldens") {
		if g.Expect == "refuse" || g.Stack != nil {
			continue
		}
		b, err := lazymerge.OpenBase(g.base)
		if err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Open(filepath.Join(g.adapter(), "adapter_model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		ts := f.Tensors()
		dir := t.TempDir()
		os.CopyFS(dir, os.DirFS(g.adapter()))
		for i, x := range ts {
			var rest []*safetensors.Tensor
			rest = append(rest, ts[:i]...)
			rest = append(rest, ts[i+1:]...)
			w, _ := os.Create(filepath.Join(dir, "adapter_model.safetensors"))
			if err := safetensors.Write(w, f.Header().Metadata, rest); err != nil {
				t.Fatal(err)
			}
			w.Close()
			lib, err := modeldir.FindAdapters([]string{dir})
			if err != nil {
				t.Fatal(err)
			}
			m, err := lazymerge.Open(context.Background(), b, lib.Adapters[0], lazymerge.Options{Cache: c})
			if err != nil {
				fmt.Fprintf(out, "REFUSED %s\t%s\t%v\n", g.name, x.Name, err)
				continue
			}
			fmt.Fprintf(out, "OPENED %s\t%s\t%q\n", g.name, x.Name, m.Report().Warnings)
			m.Close()
		}
		f.Close()
		b.Close()
	}
}
