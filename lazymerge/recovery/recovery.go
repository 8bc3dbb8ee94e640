package recovery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/checkpoint"
	"lorafs/safetensors"
)

// DType says in what dtype values that are floating point are written.
type DType uint8

const (
	Best  DType = iota // the most exact copy, in its own dtype: fp32 where the optimizer has one
	Saved              // as the model computed with them
	F32
	BF16
	F16
)

// Options of Adapter and Full.
type Options struct {
	Adapter        string // name of the adapter in the model, where it has several
	Config         string // path of its adapter_config.json; "": one near the checkpoint
	Alpha          string // lora_alpha, for a config that is rebuilt
	DType          DType
	AllowNonFinite bool
	ShardSize      int64 // of Full: the most bytes of a file; 0 for one file
}

// Result says what was written.
type Result struct {
	Checkpoint string   `json:"checkpoint"` // what was read
	Kind       string   `json:"kind"`
	Out        string   `json:"out"`
	Adapter    string   `json:"adapter,omitempty"` // its name in the model
	Config     string   `json:"config,omitempty"`  // file that it came from; "" when rebuilt
	Rebuilt    bool     `json:"config_rebuilt,omitempty"`
	Tensors    int      `json:"tensors"`
	Bytes      int64    `json:"bytes"` // of their values
	DType      string   `json:"dtype"`
	Left       []string `json:"left_out,omitempty"` // trained tensors that PEFT does not save in an adapter
	Notes      []string `json:"notes,omitempty"`
}

// Hooks are called on the way; each may be nil.
type Hooks struct {
	Room     func(bytes int64) error // before anything is written
	Progress func(done, total int64) // after each piece, in bytes
	Check    func(dir string) error  // about the finished adapter, before it gets its name
}

// Adapter writes the PEFT adapter of a checkpoint to the directory out, which must not
// exist or be empty. Errors: those of checkpoint.Open, peft.ReadConfig,
// *NoAdapterError, *ChoiceError, *ConfigError, *AlphaError, *AlphaConflictError,
// *UnfitError, *OutputError (which wraps lazymerge.ErrExists and what Hooks.Room said),
// *CheckError, *fs.PathError.
func Adapter(ctx context.Context, path, out string, o Options, h Hooks) (r *Result, err error) {
	c, err := checkpoint.Open(path, o.values())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s, config, r, err := prepare(c, o)
	if err != nil {
		return nil, err
	}
	outputs := s.outputs(o.DType)
	r.describe(c, out, outputs)
	if r.Out, err = filepath.Abs(out); err != nil {
		return nil, err
	}
	if err := h.room(r.Bytes); err != nil {
		return nil, &OutputError{Out: r.Out, Err: err}
	}
	err = writeDir(r.Out, func(dir string) error {
		if err := writeText(filepath.Join(dir, configName), config); err != nil {
			return err
		}
		if err := writeFile(ctx, filepath.Join(dir, "adapter_model.safetensors"), outputs, counter(r.Bytes, h.Progress)); err != nil {
			return err
		}
		if err := c.Unchanged(); err != nil {
			return err
		}
		return r.verify(dir, o, h.Check)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (o Options) values() checkpoint.Values {
	if o.DType == Saved {
		return checkpoint.Model
	}
	return checkpoint.Masters
}

// prepare chooses the tensors and gets the text of the config.
func prepare(c *checkpoint.Checkpoint, o Options) (*selection, []byte, *Result, error) {
	names, types := adapterNames(c.Tensors)
	adapter, err := chooseAdapter(c.Path, o.Adapter, names)
	if err != nil {
		return nil, nil, nil, err
	}
	r := &Result{Adapter: adapter, Config: o.Config, Notes: c.Notes}
	if r.Config == "" {
		r.Config = findConfig(c.Path, adapter, len(names) < 2)
	}
	if r.Config == "" {
		return r.withoutConfig(c, o, adapter, types)
	}
	config, err := peft.ReadConfig(r.Config)
	if err != nil {
		return nil, nil, nil, err
	}
	s, err := choose(c, config.PeftType, config, adapter)
	if err != nil {
		return nil, nil, nil, err
	}
	text, err := os.ReadFile(r.Config)
	if err == nil {
		err = sameAlpha(c.Path, r.Config, text, config.PeftType, o.Alpha)
	}
	r.Left = s.left
	return s, text, r, err
}

// withoutConfig rebuilds the config, which only LoRA's tensors tell.
func (r *Result) withoutConfig(c *checkpoint.Checkpoint, o Options, adapter string, types []string) (*selection, []byte, *Result, error) {
	if len(types) == 0 {
		return nil, nil, nil, noneNamed(c, "PEFT")
	}
	if !slices.Contains(types, "LORA") {
		return nil, nil, nil, &ConfigError{Path: c.Path, Reason: fmt.Sprintf("it can be rebuilt for LORA only, and the tensors are of %v", types)}
	}
	s, err := choose(c, "LORA", nil, adapter)
	if err != nil {
		return nil, nil, nil, err
	}
	text, err := s.rebuild(o.Alpha)
	r.Rebuilt, r.Left = true, s.left
	return s, text, r, err
}

// outputs are the adapter's tensors in the dtype that is wanted.
func (s *selection) outputs(d DType) []output {
	var list []output
	for _, c := range s.tensors {
		list = append(list, output{name: c.key.Saved, dtype: d.of(c.tensor), tensor: c.tensor})
	}
	return list
}

// of is the dtype for a tensor. Numbers that are no floats stay as they are.
func (d DType) of(t *checkpoint.Tensor) safetensors.DType {
	if !float(t.DType) {
		return t.DType
	}
	switch d {
	case Best:
		if t.Buffer {
			return safetensors.F32 // as zero_to_fp32 does
		}
	case Saved:
		if float(t.Saved) {
			return t.Saved
		}
	case F32:
		return safetensors.F32
	case BF16:
		return safetensors.BF16
	case F16:
		return safetensors.F16
	}
	return t.DType
}

func (r *Result) describe(c *checkpoint.Checkpoint, out string, outputs []output) {
	r.Checkpoint, r.Kind, r.Out, r.Tensors = c.Path, c.Kind, out, len(outputs)
	for i, o := range outputs {
		r.Bytes += o.tensor.Elements() * int64(o.dtype.Bits()/8)
		switch name := o.dtype.String(); {
		case i == 0:
			r.DType = name
		case r.DType != name:
			r.DType = "mixed"
		}
	}
}

// verify opens what was written.
func (r *Result) verify(dir string, o Options, check func(dir string) error) error {
	recipe, err := peft.Open(dir, peft.Options{AllowNonFinite: o.AllowNonFinite})
	if err != nil {
		return &UnfitError{Checkpoint: r.Checkpoint, Config: r.Config, Dir: dir, Out: r.Out, Err: err}
	}
	for _, w := range recipe.Warnings {
		r.Notes = append(r.Notes, w.Text)
	}
	if err := recipe.Close(); err != nil || check == nil {
		return err
	}
	if err := check(dir); err != nil {
		return &CheckError{Dir: dir, Out: r.Out, Err: err}
	}
	return nil
}

// writeDir is lazymerge.WriteDir, whose own errors are told apart from those of fill:
// they are *OutputError.
func writeDir(out string, fill func(dir string) error) error {
	var failed error
	err := lazymerge.WriteDir(out, func(dir string) error {
		failed = fill(dir)
		return failed
	})
	if err != nil && failed == nil {
		return &OutputError{Out: out, Err: err}
	}
	return err
}

func (h Hooks) room(bytes int64) error {
	if h.Room == nil {
		return nil
	}
	return h.Room(bytes)
}

func counter(total int64, progress func(done, total int64)) func(int64) {
	done := int64(0)
	return func(n int64) {
		if done += n; progress != nil {
			progress(done, total)
		}
	}
}

func writeText(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.Sync()
}
