package checkpoint

import (
	"context"
	"fmt"
	"math"
	"slices"

	"lorafs/lazymerge/torchfile"
	"lorafs/safetensors"
)

func floating(d safetensors.DType) bool {
	return d == safetensors.F32 || d == safetensors.BF16 || d == safetensors.F16 || d == safetensors.F64
}

// checkAgainst compares some values of the optimizer's copy with the model's own, which
// stages 1 and 2 save too. A part of another rank or another run, or one shifted, is
// found so. Error: *LayoutError.
func (t *Tensor) checkAgainst(m *zeroModel) error {
	v, _ := m.module.Get(t.Name)
	own, ok := v.(*torchfile.Tensor)
	if !ok || !floating(own.DType) || !floating(t.DType) || own.Elements() == 0 && t.Elements() > 0 {
		return nil
	}
	if !slices.Equal(own.Shape, t.Shape) {
		return &LayoutError{File: m.file, Tensor: t.Name, Reason: fmt.Sprintf("it has the shape %v in module and %v in param_shapes", own.Shape, t.Shape)}
	}
	const sample = 1024
	for _, at := range t.sampleStarts(sample) {
		n := min(sample, t.Elements()-at)
		a, err := floats(t, t.DType, at, n)
		if err != nil {
			return &ReadError{File: t.fileOf(at), Tensor: t.Name, Err: err}
		}
		b, err := floats(own, own.DType, at, n)
		if err != nil {
			return &ReadError{File: m.file, Tensor: t.Name, Err: err}
		}
		for i := range a {
			if !near(a[i], b[i], own.DType, m.fresh) {
				if err := verifyBoth(t, own, m.file); err != nil {
					return err // and not another saving's
				}
				return &LayoutError{File: t.fileOf(at + int64(i)), Tensor: t.Name,
					Reason: fmt.Sprintf("element %d is %g, but the model in %q has %g: the files are not of one saving", at+int64(i), a[i], m.file, b[i])}
			}
		}
	}
	return nil
}

// verifyBoth looks for damage in the two copies of a tensor.
func verifyBoth(t *Tensor, own *torchfile.Tensor, file string) error {
	if err := t.Verify(context.Background()); err != nil {
		return err
	}
	if err := own.Verify(context.Background()); err != nil {
		return &ReadError{File: file, Tensor: t.Name, Err: err}
	}
	return nil
}

// sampleStarts are the places to compare: where each chunk begins, and where it ends.
func (t *Tensor) sampleStarts(sample int64) []int64 {
	var at []int64
	for _, c := range t.chunks {
		begin, end := c.offsets[0], c.offsets[0]+c.sizes[0]
		at = append(at, begin, max(begin, end-sample))
	}
	slices.Sort(at)
	return slices.Compact(at)
}

func (t *Tensor) fileOf(element int64) string {
	for _, c := range t.chunks {
		if element >= c.offsets[0] && element < c.offsets[0]+c.sizes[0] {
			return c.file
		}
	}
	return ""
}

func floats(from source, d safetensors.DType, first, n int64) ([]float32, error) {
	b := make([]byte, n*int64(d.Bits()/8))
	if err := from.ReadAt(b, first); err != nil {
		return nil, err
	}
	out := make([]float32, n)
	return out, safetensors.AsFloat32(out, b, d)
}

// near allows the error of one rounding to the model's dtype, to whichever side. Before
// the first step DeepSpeed has let the optimizer decay its copy once, to make its states
// (stage_1_and_2.py, initialize_optimizer_states), and the model's is what it was.
func near(master, own float32, d safetensors.DType, fresh bool) bool {
	if master == own || master != master && own != own {
		return true
	}
	x, y := float64(master), float64(own)
	step, least := 0x1p-23, 0x1p-149 // fp32
	switch d {
	case safetensors.BF16:
		step, least = 0x1p-7, 0x1p-133
	case safetensors.F16:
		if math.IsInf(y, 0) {
			return math.Abs(x) > 65503
		}
		step, least = 0x1p-10, 0x1p-24
	}
	if fresh {
		step = max(step, 0.02)
	}
	return math.Abs(x-y) <= step*math.Max(math.Abs(x), math.Abs(y))+least
}
