package recovery

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"

	"lorafs/lazymerge/checkpoint"
	"lorafs/safetensors"
)

// piece is how many elements are converted at a time.
const piece = 1 << 18

// output is a tensor to be written.
type output struct {
	name   string
	dtype  safetensors.DType
	tensor *checkpoint.Tensor
}

func (o output) info() safetensors.Info {
	return safetensors.Info{Name: o.name, DType: o.dtype, Shape: o.tensor.Shape}
}

// float tells whether the dtype is one that is converted.
func float(d safetensors.DType) bool {
	return d == safetensors.F32 || d == safetensors.BF16 || d == safetensors.F16 || d == safetensors.F64
}

// writeFile writes a safetensors file, in pieces, to disk and not only to the cache.
// wrote is told the bytes of each piece.
func writeFile(ctx context.Context, path string, outputs []output, wrote func(int64)) (err error) {
	infos := make([]safetensors.Info, len(outputs))
	for i, o := range outputs {
		infos[i] = o.info()
	}
	layout, err := safetensors.Build(infos, map[string]string{"format": "pt"})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.Write(layout.Header); err != nil {
		return err
	}
	for _, o := range outputs {
		if err := o.write(ctx, w, wrote); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// write verifies the tensor and converts it piece by piece.
func (o output) write(ctx context.Context, w io.Writer, wrote func(int64)) error {
	if err := o.tensor.Verify(ctx); err != nil {
		return err
	}
	n := o.tensor.Elements()
	from, to := int64(o.tensor.DType.Bits()/8), int64(o.dtype.Bits()/8)
	size := min(n, piece)
	raw := make([]byte, size*from)
	var floats []float32
	out := raw
	if o.dtype != o.tensor.DType {
		floats, out = make([]float32, size), make([]byte, size*to)
	}
	for at := int64(0); at < n; at += size {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := min(size, n-at)
		if err := o.tensor.ReadAt(raw[:size*from], at); err != nil {
			return err
		}
		if floats != nil {
			if err := convert(out[:size*to], floats[:size], raw[:size*from], o.dtype, o.tensor.DType); err != nil {
				return err
			}
		}
		if _, err := w.Write(out[:size*to]); err != nil {
			return err
		}
		wrote(size * to)
	}
	return nil
}

func convert(out []byte, floats []float32, raw []byte, to, from safetensors.DType) error {
	if err := safetensors.AsFloat32(floats, raw, from); err != nil {
		return err
	}
	return safetensors.FromFloat32(out, floats, to)
}
