package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// openState opens a file of a whole model, or an index of several.
func (c *Checkpoint) openState(path string) error {
	c.Path = path
	if strings.HasSuffix(path, ".index.json") {
		return c.openIndex(path)
	}
	c.Kind = "state dict"
	return c.addFile(path)
}

func (c *Checkpoint) addFile(path string) error {
	if strings.HasSuffix(path, ".safetensors") {
		return c.addSafetensors(path)
	}
	return c.addTorch(path)
}

func (c *Checkpoint) addSafetensors(path string) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return &ReadError{File: path, Err: err}
	}
	c.closers = append(c.closers, f.Close)
	c.fresh = append(c.fresh, f.Unchanged)
	for _, t := range f.Tensors() {
		if t.DType.Bits()%8 != 0 {
			return &LayoutError{File: path, Tensor: t.Name, Reason: "its dtype is not usable"}
		}
		n, err := t.Elements()
		if err != nil || !sane(t.Shape) {
			return errors.Join(&LayoutError{File: path, Tensor: t.Name, Reason: "its shape is not usable"}, err)
		}
		c.Tensors = append(c.Tensors, &Tensor{
			Name: t.Name, DType: t.DType, Saved: t.DType, Shape: t.Shape, grid: []int64{n},
			chunks: []chunk{{offsets: []int64{0}, sizes: []int64{n}, from: stored{t}, file: path}},
		})
	}
	return nil
}

// wrappers are keys under which trainers put a state dict.
var wrappers = []string{"state_dict", "model_state_dict", "model", "module", "model_state"}

func (c *Checkpoint) addTorch(path string) error {
	f, err := c.openTorch(path)
	if e := (*torchfile.Error)(nil); errors.As(err, &e) && e.Kind == torchfile.NotTorch && !torchfile.HasExtension(path) {
		return &NotFoundError{Path: path, Holds: "what torch has not saved"}
	}
	if err != nil {
		return err
	}
	d, ok := f.Root().(*pickle.Dict)
	if !ok {
		return &NotFoundError{Path: path, Holds: kindOf(f.Root())}
	}
	for _, key := range wrappers {
		v, _ := d.Get(key)
		if inner, ok := v.(*pickle.Dict); ok {
			d = inner
			break
		}
	}
	tensors := 0
	for k, v := range d.All() {
		name, ok := k.(string)
		if !ok {
			continue
		}
		switch v := v.(type) {
		case *torchfile.Tensor:
			t, err := whole(name, path, v)
			if err != nil {
				return err
			}
			c.Tensors = append(c.Tensors, t)
			tensors++
		case *pickle.Object:
			if strings.Contains(v.Class.Name, "DTensor") || strings.Contains(v.Class.Name, "ShardedTensor") {
				return &UnsupportedError{File: path, Reason: fmt.Sprintf("%q is a part of a tensor that other ranks have the rest of, and the parts are not put together", shorten(name))}
			}
		}
		if strings.HasSuffix(name, "flat_param") || strings.HasSuffix(name, "_flat_param") {
			return &UnsupportedError{File: path, Reason: fmt.Sprintf("%q is one rank's part of a flattened model (LOCAL_STATE_DICT), and the parts are not put together", shorten(name))}
		}
	}
	if tensors == 0 && d.Len() > 0 {
		return &NotFoundError{Path: path, Holds: "a dict without tensors"}
	}
	return nil
}

// maxIndex bounds the text of an index.
const maxIndex = 256 << 20

func (c *Checkpoint) openIndex(path string) error {
	c.Kind = "state dict in several files"
	text, err := readFile(path, maxIndex)
	if err != nil {
		return err
	}
	x, err := safetensors.ParseIndex(text)
	if err != nil {
		return &LayoutError{File: path, Reason: err.Error()}
	}
	var shards []string
	for _, shard := range x.WeightMap {
		if !filepath.IsLocal(shard) {
			return &LayoutError{File: path, Reason: fmt.Sprintf("it names %q, which leaves the directory", shorten(shard))}
		}
		shards = append(shards, shard)
	}
	slices.Sort(shards)
	shards = slices.Compact(shards)
	var missing []string
	for _, shard := range shards {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), shard)); err != nil {
			missing = append(missing, shard)
		}
	}
	if len(missing) > 0 {
		return &RanksError{Dir: filepath.Dir(path), Files: "the model", Have: len(shards) - len(missing), Want: len(shards), By: fmt.Sprintf("%q", filepath.Base(path)), Missing: missing}
	}
	for _, shard := range shards {
		if err := c.addShard(path, shard, x.WeightMap); err != nil {
			return err
		}
	}
	return nil
}

// addShard adds a shard's tensors, which have to be those that the index puts there.
func (c *Checkpoint) addShard(index, shard string, files map[string]string) error {
	path := filepath.Join(filepath.Dir(index), shard)
	before := len(c.Tensors)
	if err := c.addFile(path); err != nil {
		return err
	}
	have := make(map[string]bool)
	for _, t := range c.Tensors[before:] {
		have[t.Name] = true
	}
	c.Tensors = append(c.Tensors[:before:before], slices.DeleteFunc(c.Tensors[before:], func(t *Tensor) bool { return files[t.Name] != shard })...)
	for name, file := range files {
		if file == shard && !have[name] {
			return &LayoutError{File: path, Tensor: name, Reason: fmt.Sprintf("%q says that it is here", filepath.Base(index))}
		}
	}
	return nil
}

func readFile(path string, most int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = &LayoutError{File: path, Reason: fmt.Sprintf("it has more than %d bytes", most)}
	}
	return text, err
}
