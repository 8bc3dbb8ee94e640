package checkpoint

import (
	"fmt"
	"path/filepath"
	"strings"

	"lorafs/lazymerge/torchfile"
	"lorafs/safetensors"
)

// openUniversal opens what DeepSpeed's ds_to_universal writes: a directory a parameter,
// with a file for its fp32 values (deepspeed checkpoint/ds_to_universal.py @0.19.8). The
// shapes come from the model states that it copies.
func (c *Checkpoint) openUniversal(dir string, names []string) error {
	files, models, err := c.openModels(dir, names)
	if err != nil {
		return err
	}
	m := models[0]
	c.Kind = "DeepSpeed universal checkpoint"
	if files.ranked && int64(len(models)) != m.world {
		return &RanksError{Dir: dir, Files: "model states", Have: len(models), Want: int(m.world), By: fmt.Sprintf("%q", filepath.Base(m.file))}
	}
	if err := c.addBuffers(m); err != nil {
		return err
	}
	addFrozen := func() error { return c.addFrozen12(m) }
	if files.ranked {
		addFrozen = func() error { return c.addFrozen3(models) }
	}
	if err := addFrozen(); err != nil {
		return err
	}
	for _, g := range m.groups {
		for _, p := range g {
			if err := c.addUniversal(dir, m, p); err != nil {
				return err
			}
		}
	}
	c.addShared(m)
	return nil
}

func (c *Checkpoint) addUniversal(dir string, m *zeroModel, p param) error {
	if strings.ContainsAny(p.name, "/\x00") || !filepath.IsLocal(p.name) {
		return &LayoutError{File: m.file, Tensor: p.name, Reason: "its name is no name of a directory"}
	}
	path := filepath.Join(dir, "zero", p.name, "fp32.pt")
	if _, err := c.watch(path); err != nil {
		return err
	}
	from := saved{path: path, length: -1, dtype: safetensors.F32, shape: p.shape, flat: true}
	if err := from.with(func(*torchfile.Tensor) error { return nil }); err != nil {
		return &ReadError{File: path, Err: err}
	}
	t := &Tensor{
		Name: p.name, DType: safetensors.F32, Shape: p.shape, Trained: true,
		Saved: m.modelDType(p.name, safetensors.F32), grid: []int64{p.numel()},
		chunks: []chunk{{offsets: []int64{0}, sizes: []int64{p.numel()}, from: from, file: path}},
	}
	if err := t.checkAgainst(m); err != nil {
		return err
	}
	c.Tensors = append(c.Tensors, t)
	return nil
}
