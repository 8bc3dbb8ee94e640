package checkpoint

import (
	"context"
	"errors"

	"lorafs/lazymerge/torchfile"
	"lorafs/safetensors"
)

// Values says which copy of the trained values is meant, where a checkpoint has two.
type Values uint8

const (
	Masters Values = iota // the optimizer's, in fp32
	Model                 // those that the model computed with
)

// Checkpoint is an open checkpoint.
type Checkpoint struct {
	Path    string // directory or file that holds it
	Kind    string // for people: "DeepSpeed ZeRO stage 3 of 8 ranks"
	Notes   []string
	Tensors []*Tensor // in the order of the checkpoint

	closers []func() error
	fresh   []func() error // whether files are what they were

	most, read int64 // bytes of pickles: that may be read, 0 for any, and that were
}

// ErrLarge is that Peek gave up.
var ErrLarge = errors.New("the descriptions of the tensors are too long to be looked at in passing")

// count counts bytes of pickles. Error: ErrLarge.
func (c *Checkpoint) count(n int64) error {
	if c.read += n; c.most > 0 && c.read > c.most {
		return ErrLarge
	}
	return nil
}

// Tensor finds a tensor by name, nil when there is none.
func (c *Checkpoint) Tensor(name string) *Tensor {
	for _, t := range c.Tensors {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Unchanged asks whether the files are what they were when they were opened. Errors:
// those of torchfile and safetensors.
func (c *Checkpoint) Unchanged() error {
	for _, f := range c.fresh {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the files.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.closers {
		errs = append(errs, f())
	}
	c.closers = nil
	return errors.Join(errs...)
}

// openTorch opens a file that the checkpoint keeps. Error: *ReadError.
func (c *Checkpoint) openTorch(path string) (*torchfile.File, error) {
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, &ReadError{File: path, Err: err}
	}
	c.closers = append(c.closers, f.Close)
	c.fresh = append(c.fresh, f.Unchanged)
	return f, c.count(f.Pickled())
}

// whole is a tensor that lies in one piece in a torch file.
func whole(name, file string, t *torchfile.Tensor) (*Tensor, error) {
	if !usable(t) {
		return nil, &LayoutError{File: file, Tensor: name, Reason: "its shape or its dtype is not usable"}
	}
	out := &Tensor{Name: name, DType: t.DType, Saved: t.DType, Shape: t.Shape, grid: []int64{t.Elements()}}
	out.chunks = []chunk{{offsets: []int64{0}, sizes: []int64{t.Elements()}, from: t, file: file}}
	return out, nil
}

// usable: whole bytes, and no more of them than the storage has, so that no small file
// expands to a large one.
func usable(t *torchfile.Tensor) bool {
	width := int64(t.DType.Bits())
	return sane(t.Shape) && width > 0 && width%8 == 0 && (t.Elements() == 0 || t.Storage != nil && t.Bytes() <= t.Storage.Bytes)
}

// stored adapts a tensor of a safetensors file to a source.
type stored struct{ t *safetensors.Tensor }

func (s stored) ReadAt(dst []byte, first int64) error {
	width := int64(s.t.DType.Bits() / 8)
	b, err := s.t.Slice(first*width, first*width+int64(len(dst)))
	if err != nil {
		return err
	}
	copy(dst, b)
	return nil
}

// Verify has nothing to compare: the format has no checksums.
func (s stored) Verify(context.Context) error { return nil }
