package transform

import (
	"sync"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// scratch is the memory of one call. Calls reuse it, so that warm ones allocate
// nothing.
type scratch struct {
	coeffs kernel.Coeffs
	args   kernel.Args
	wide   []float32 // adapter values, widened
	sums   []float32 // W + d of a few rows
	bytes  []byte
	held   []float32 // factors that were packed beside the kernel's, never this scratch's own

	squares [16]float64 // for kernel.Squares

	// of computed matrices
	delta, turn, left, right []float32
	packed                   []byte
	picks                    []int64 // numbers of rows
	queue                    []ranked
}

var pool = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch { return pool.Get().(*scratch) }

func (s *scratch) release() {
	s.held = nil
	s.args = kernel.Args{}
	pool.Put(s)
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// read widens the elements [lo,hi) of t; the result is good until the next read.
func (s *scratch) read(t *safetensors.Tensor, lo, hi int64) ([]float32, error) {
	size := int64(t.DType.Bits() / 8)
	b, err := t.Slice(lo*size, hi*size)
	if err != nil {
		return nil, err
	}
	s.wide = grow(s.wide, int(hi-lo))
	return s.wide, toFloats(s.wide, b, t.DType)
}
