package lazymerge

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tidwall/gjson"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/resolve/diffusion"
	"lorafs/safetensors"
)

// Base is an opened base model, shared by the Models made from it.
type Base struct {
	dir        *modeldir.Base
	components []*component
	diffusion  func() *diffusion.Index // of all components
	refs       atomic.Int64
}

// component is one directory of weights with its own config: the whole model, or
// one part of a diffusers pipeline.
type component struct {
	dir    modeldir.Component
	shards []*safetensors.File // in the order of dir.Shards
	slots  []slot              // every tensor on disk, shard by shard, in file order
	names  func() *resolve.Index
}

// slot is the place of a tensor in the view: which shard, which name, whose bytes.
type slot struct {
	name  string
	shard int
	from  *safetensors.Tensor
}

// OpenBase opens the base model at ref (a directory, a safetensors file, or the id
// of a model in the local hub cache) and maps its weights. The headers of all
// shards are read and checked. Errors: those of modeldir and safetensors, *BaseError and
// *UnmergedError.
func OpenBase(ref string) (*Base, error) {
	dir, err := modeldir.OpenBase(ref)
	if err != nil {
		return nil, fmt.Errorf("open base %q: %w", ref, err)
	}
	b := &Base{dir: dir}
	b.refs.Store(1)
	for _, c := range dir.Components {
		opened, err := openComponent(c)
		if opened != nil {
			b.components = append(b.components, opened)
		}
		if err != nil {
			b.release()
			return nil, fmt.Errorf("open base %q: %w", ref, err)
		}
	}
	b.diffusion = sync.OnceValue(b.newDiffusion)
	return b, nil
}

func openComponent(dir modeldir.Component) (*component, error) {
	c := &component{dir: dir}
	where := make(map[string]string)
	for i, s := range dir.Shards {
		f, err := safetensors.Open(s.Host)
		if err != nil {
			return c, err
		}
		c.shards = append(c.shards, f)
		for _, t := range f.Tensors() {
			if other, twice := where[t.Name]; twice {
				return c, &BaseError{Path: s.Host, Tensor: t.Name, Reason: "stands in " + other + " as well"}
			}
			where[t.Name] = s.Name
			c.slots = append(c.slots, slot{name: t.Name, shard: i, from: t})
		}
	}
	if err := c.checkIndex(where); err != nil {
		return c, err
	}
	if err := c.checkMerged(); err != nil {
		return c, err
	}
	c.names = sync.OnceValue(func() *resolve.Index { return c.index(c.slots) })
	return c, nil
}

// checkMerged refuses a model with adapters in it, under the names that PEFT gives while
// it trains: transformers finds no weights for the layers around which they are.
func (c *component) checkMerged() error {
	inner := slices.IndexFunc(c.slots, func(s slot) bool { return strings.HasSuffix(s.name, ".base_layer.weight") })
	if inner < 0 {
		return nil
	}
	for _, prefix := range peft.Prefixes() {
		if slices.ContainsFunc(c.slots, func(s slot) bool { return strings.Contains(s.name, "."+prefix) }) {
			s := c.slots[inner]
			return &UnmergedError{Path: c.dir.Shards[s.shard].Host, Tensor: s.name}
		}
	}
	return nil
}

// checkIndex holds the index against the shards: a tensor that the index promises
// and no shard holds would be missing in the merged model too.
func (c *component) checkIndex(where map[string]string) error {
	if c.dir.Index == nil {
		return nil
	}
	for name, shard := range c.dir.Index.WeightMap {
		switch got, ok := where[name]; {
		case !ok:
			return &BaseError{Path: c.dir.IndexPath, Tensor: name, Reason: "the index names shard " + shard + ", which does not hold it"}
		case got != shard:
			return &BaseError{Path: c.dir.IndexPath, Tensor: name, Reason: fmt.Sprintf("the index names shard %s, but it is in %s", shard, got)}
		}
	}
	return nil
}

func (c *component) index(slots []slot) *resolve.Index {
	names := make([]string, len(slots))
	for i, s := range slots {
		names[i] = s.name
	}
	cfg := gjson.ParseBytes(c.dir.Config)
	var arch []string
	for _, a := range cfg.Get("architectures").Array() {
		arch = append(arch, a.String())
	}
	return resolve.New(resolve.Base{
		Names:         names,
		ModelType:     c.modelType(),
		Architectures: arch,
		Config: func(path string) any {
			return cfg.Get(path).Value()
		},
	})
}

func (c *component) modelType() string {
	return gjson.GetBytes(c.dir.Config, "model_type").String()
}

// treePath is where a file of the component stands in the view.
func (c *component) treePath(name string) string {
	return path.Join(c.dir.Dir, name)
}

// quantization names the method by which config.json says the weights are
// quantised, "" when they are not.
func (c *component) quantization() string {
	q := gjson.GetBytes(c.dir.Config, "quantization_config")
	if !q.IsObject() {
		return ""
	}
	for _, field := range []string{"quant_method", "quant_type", "format"} {
		if v := q.Get(field).String(); v != "" {
			return strings.ToLower(v)
		}
	}
	return "quantization_config"
}

// Dir is the base's directory (or file) on disk.
func (b *Base) Dir() string { return b.dir.Dir }

// Ref is the base as it was named by the caller.
func (b *Base) Ref() string { return b.dir.Ref }

// Close releases the base; its files are unmapped when the last Model and File
// made from it are closed.
func (b *Base) Close() error { return b.release() }

func (b *Base) retain() { b.refs.Add(1) }

func (b *Base) release() error {
	if b.refs.Add(-1) != 0 {
		return nil
	}
	var errs []error
	for _, c := range b.components {
		for _, f := range c.shards {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
