package lazymerge

import (
	"context"

	"lorafs/safetensors"
)

// extent is a run of bytes of a virtual file: [begin,end) of the file, served by
// one source.
type extent struct {
	begin, end int64
	source     source
}

// source fills p with its bytes from off on; the range is inside it.
type source interface {
	readAt(ctx context.Context, p []byte, off int64) error
}

// literal is bytes made when the model was opened: headers, corrected JSON.
type literal []byte

func (l literal) readAt(_ context.Context, p []byte, off int64) error {
	copy(p, l[off:])
	return nil
}

// verbatim is a base tensor that no edit touches.
type verbatim struct{ tensor *safetensors.Tensor }

func (v verbatim) readAt(_ context.Context, p []byte, off int64) error {
	b, err := v.tensor.Slice(off, off+int64(len(p)))
	if err != nil {
		return err
	}
	copy(p, b)
	return v.tensor.Unchanged()
}
