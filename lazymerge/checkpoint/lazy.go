package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// saved is a tensor in a torch.save stream that is opened for each read: a checkpoint
// may have more of them than a process may have files.
type saved struct {
	path           string
	offset, length int64 // of the stream; length < 0: the whole file
	dtype          safetensors.DType
	shape          []int64
	flat           bool // only the number of elements counts
}

func (s saved) open() (*torchfile.File, error) {
	if s.length < 0 {
		return torchfile.Open(s.path)
	}
	return torchfile.OpenSection(s.path, s.offset, s.length)
}

// with opens the stream for a use of its tensor. Errors: *LayoutError when it is not the
// one that was promised, those of torchfile.
func (s saved) with(use func(t *torchfile.Tensor) error) (err error) {
	f, err := s.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	t := tensorOf(f.Root())
	if t == nil {
		return &LayoutError{File: s.path, Reason: "it holds " + kindOf(f.Root()) + " and no tensor"}
	}
	same := slices.Equal(t.Shape, s.shape) || s.flat && len(t.Shape) == 1 && t.Shape[0] == product(s.shape)
	if t.DType != s.dtype || !same || !usable(t) {
		return &LayoutError{File: s.path, Reason: fmt.Sprintf("it holds a tensor %s %v in place of one %s %v", t.DType, t.Shape, s.dtype, s.shape)}
	}
	return use(t)
}

func (s saved) ReadAt(dst []byte, first int64) error {
	return s.with(func(t *torchfile.Tensor) error { return t.ReadAt(dst, first) })
}

func (s saved) Verify(ctx context.Context) error {
	return s.with(func(t *torchfile.Tensor) error { return t.Verify(ctx) })
}

// tensorOf finds the tensor of a stream: the object, or what universal checkpoints call
// param.
func tensorOf(v any) *torchfile.Tensor {
	if d, ok := v.(*pickle.Dict); ok {
		v, _ = d.Get("param")
	}
	t, _ := v.(*torchfile.Tensor)
	return t
}

// watch notes what a file is now, so that Unchanged can tell. Error: *fs.PathError.
func (c *Checkpoint) watch(path string) (size int64, err error) {
	before, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	c.fresh = append(c.fresh, func() error {
		now, err := os.Stat(path)
		if err != nil {
			return err
		}
		if now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime()) {
			return &safetensors.ChangedError{Path: path, Detail: "its size or its modification time moved"}
		}
		return nil
	})
	return before.Size(), nil
}
