package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"lorafs/lazymerge/checkpoint"
	"lorafs/safetensors"
)

// Full writes all parameters and buffers of a checkpoint under their own names to the
// directory out, as zero_to_fp32 does: one model.safetensors, or shards with an index.
// Errors: those of checkpoint.Open, lazymerge.ErrExists, *fs.PathError.
func Full(ctx context.Context, path, out string, o Options, h Hooks) (r *Result, err error) {
	c, err := checkpoint.Open(path, o.values())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if len(c.Tensors) == 0 {
		return nil, noneNamed(c, "PEFT")
	}
	var outputs []output
	for _, t := range c.Tensors {
		outputs = append(outputs, output{name: t.Name, dtype: o.DType.of(t), tensor: t})
	}
	r = &Result{Notes: c.Notes}
	r.describe(c, out, outputs)
	if r.Out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	if err := h.room(r.Bytes); err != nil {
		return nil, &OutputError{Out: r.Out, Err: err}
	}
	err = writeDir(r.Out, func(dir string) error {
		if err := writeShards(ctx, dir, outputs, o.ShardSize, counter(r.Bytes, h.Progress)); err != nil {
			return err
		}
		return c.Unchanged()
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func writeShards(ctx context.Context, dir string, outputs []output, most int64, wrote func(int64)) error {
	shards := split(outputs, most)
	if len(shards) == 1 {
		return writeFile(ctx, filepath.Join(dir, "model.safetensors"), shards[0], wrote)
	}
	x := &safetensors.Index{WeightMap: make(map[string]string)}
	total := int64(0)
	for i, shard := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		if err := writeFile(ctx, filepath.Join(dir, name), shard, wrote); err != nil {
			return err
		}
		for _, o := range shard {
			x.WeightMap[o.name] = name
			total += o.size()
		}
	}
	x.Metadata = map[string]json.RawMessage{"total_size": json.RawMessage(strconv.FormatInt(total, 10))}
	text, err := x.Encode()
	if err != nil {
		return err
	}
	return writeText(filepath.Join(dir, "model.safetensors.index.json"), text)
}

func (o output) size() int64 { return o.tensor.Elements() * int64(o.dtype.Bits()/8) }

// split fills shards in order; a tensor larger than a shard has one of its own.
func split(outputs []output, most int64) [][]output {
	var shards [][]output
	var shard []output
	size := int64(0)
	for _, o := range outputs {
		if most > 0 && len(shard) > 0 && size+o.size() > most {
			shards, shard, size = append(shards, shard), nil, 0
		}
		shard, size = append(shard, o), size+o.size()
	}
	return append(shards, shard)
}
