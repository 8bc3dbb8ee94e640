package torchfile

import (
	"context"
	"hash/crc32"
	"io"
)

// Verify reads all bytes of the tensor's storage, once for all tensors in it, and holds
// them against the checksum in the zip file, as torch.load does not. A file without any,
// of the older format or of torch.serialization.set_crc32_options(False), passes.
// Errors: *Error of kind Damaged, those of ReadAt, the context's.
func (t *Tensor) Verify(ctx context.Context) error {
	s := t.Storage
	for s.whole != nil {
		s = s.whole
	}
	if s.record == nil {
		return nil
	}
	return s.file.located(s.record.verify(ctx, s.file.in))
}

// Verify verifies the storages of all tensors. Errors: those of Tensor.Verify.
func (w *Weights) Verify(ctx context.Context) error {
	for _, t := range w.named {
		if err := t.Verify(ctx); err != nil {
			return about(t.Name, err)
		}
	}
	return nil
}

// verify compares the record, whose place is known, with its checksum. torch writes 0
// where it computed none.
func (r *record) verify(ctx context.Context, in io.ReaderAt) error {
	if r.sum == 0 || r.sound.Load() {
		return nil
	}
	sum := uint32(0)
	b := make([]byte, min(r.size, window))
	for at := int64(0); at < r.size; at += int64(len(b)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		b = b[:min(int64(len(b)), r.size-at)]
		if err := readFull(in, b, r.data+at); err != nil {
			return err
		}
		sum = crc32.Update(sum, crc32.IEEETable, b)
	}
	if sum != r.sum {
		return problem(Damaged, "%q has the checksum %08x, it was saved with %08x", shorten(r.name), sum, r.sum)
	}
	r.sound.Store(true)
	return nil
}
