package transform

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
	"unsafe"

	"lorafs/safetensors"
)

// WaveFT adds Scale times the matrix whose wavelet coefficients are zero but for
// Spectrum, at the places that Seed draws (peft tuners/waveft/layer.py:124 @0.21.2).
type WaveFT struct {
	Spectrum *safetensors.Tensor // [n]
	Scale    float64
	Seed     int64
	Wavelet  *Wavelet // nil: Spectrum is of the matrix itself
	Class    Class
}

var _ Transform = WaveFT{}

// Describe implements Transform.
func (f WaveFT) Describe() Description {
	return Description{Type: "waveft", Rank: int(product(f.Spectrum.Shape)), Scaling: f.Scale}
}

// Tensors implements Transform.
func (f WaveFT) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{f.Spectrum} }

// Range implements Ranged. An orthogonal wavelet keeps the norm; PEFT's coif4 is not
// quite one.
func (f WaveFT) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return 1.1 * abs(f.Scale) * norm(f.Spectrum), 1
}

// Bind implements Transform.
func (f WaveFT) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	if err := checkSpectrum(p, f.Spectrum); err != nil {
		return nil, err
	}
	b := &waveFT{blocks: newBlocks(p, dtype), WaveFT: f, wavelet: none, twice: f.Class.Twice(r)}
	if f.Wavelet != nil {
		b.wavelet = *f.Wavelet
	}
	if max(b.rows, b.cols) > math.MaxInt32/2 {
		return nil, shapeError(p, f.Spectrum, []int64{-1})
	}
	return b, nil
}

// waveFT packs the coefficients, sorted by the row where they begin to act.
type waveFT struct {
	blocks
	WaveFT
	wavelet Wavelet
	twice   bool
}

// coefficient is one of Spectrum. It acts on as many rows and columns as the wavelet
// has taps, beginning there; some may lie outside.
type coefficient struct {
	row, col         int32
	value            float32
	highRow, highCol bool
}

const coefficientSize = int64(unsafe.Sizeof(coefficient{}))

func (b *waveFT) PackSize() int64 { return product(b.Spectrum.Shape) * coefficientSize }

func (b *waveFT) Pack(ctx context.Context, dst []byte) error {
	points, err := drawPoints(ctx, b.param, b.Spectrum, b.Seed)
	if err != nil {
		return err
	}
	list := packedCoefficients(dst)
	for i, x := range points {
		row, highRow := b.wavelet.place(x.row, b.rows)
		col, highCol := b.wavelet.place(x.col, b.cols)
		list[i] = coefficient{int32(row), int32(col), x.value, highRow, highCol}
	}
	slices.SortStableFunc(list, func(x, y coefficient) int { return cmp.Compare(x.row, y.row) })
	return nil
}

func packedCoefficients(b []byte) []coefficient {
	if int64(len(b)) < coefficientSize {
		return nil
	}
	return unsafe.Slice((*coefficient)(unsafe.Pointer(&b[0])), int64(len(b))/coefficientSize)
}

func (b *waveFT) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	s := getScratch()
	defer s.release()
	list := packedCoefficients(packed)
	return b.each(ctx, lo, hi, func(from, to int64) error {
		s.delta = grow(s.delta, int((to-from)*b.cols))
		clear(s.delta)
		taps := int64(len(b.wavelet.low))
		first := sort.Search(len(list), func(i int) bool { return int64(list[i].row)+taps > from })
		for _, x := range list[first:] {
			if int64(x.row) >= to {
				break
			}
			b.spread(s.delta, x, from, to)
		}
		part := b.bytes(lo, from, to)
		return b.add(s, dst[part.lo:part.hi], src[part.lo:part.hi], s.delta, from, float32(b.Scale), b.twice)
	})
}

// spread adds what a coefficient makes of the rows [from,to). PEFT takes the coefficients
// at the right, in the low rows, for those of the high band of rows.
func (b *waveFT) spread(delta []float32, x coefficient, from, to int64) {
	down, across := b.wavelet.band(x.highCol), b.wavelet.band(x.highRow)
	for i, f := range down {
		row := int64(x.row) + int64(i)
		if row < from || row >= to {
			continue
		}
		line := delta[(row-from)*b.cols:][:b.cols]
		for j, g := range across {
			if col := int64(x.col) + int64(j); col >= 0 && col < b.cols {
				line[col] += x.value * (f * g)
			}
		}
	}
}
