package transform

import (
	"context"
	"encoding/binary"
	"math"
	"slices"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// Sparse adds values to single elements of a weight; where a position occurs twice,
// both are added. Positions are rows and columns [2, n] (peft tuners/shira/layer.py:210
// @0.21.2), or elements [n], counted along the rows (peft tuners/supertuning/layer.py:212).
type Sparse struct {
	Type      string              // for reports
	Values    *safetensors.Tensor // [n]
	Positions *safetensors.Tensor // integers; fp32 as PEFT saves them on Windows
	Class     Class
}

var _ Transform = Sparse{}

// Describe implements Transform.
func (x Sparse) Describe() Description { return Description{Type: x.Type} }

// Tensors implements Transform.
func (x Sparse) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{x.Values, x.Positions}
}

// Range implements Ranged.
func (x Sparse) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return norm(x.Values), 1
}

// Bind implements Transform. A position outside is an *IndexError, one that is no
// integer a *DTypeError.
func (x Sparse) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	if err := needFloats(x.Values); err != nil {
		return nil, err
	}
	n := product(x.Values.Shape)
	want := []int64{n}
	if len(x.Positions.Shape) == 2 {
		want = []int64{2, n}
	}
	if !slices.Equal(x.Positions.Shape, want) {
		return nil, shapeError(p, x.Positions, want)
	}
	b := &sparse{Sparse: x, blocks: newBlocks(p, dtype), n: n, twice: x.Class.Twice(r)}
	if len(p.Shape) < 2 || b.cols > math.MaxUint32 {
		return nil, shapeError(p, x.Positions, want)
	}
	return b, b.each(func(_, _, _ int64) error { return nil })
}

type sparse struct {
	Sparse
	blocks
	n     int64
	twice bool
}

// each calls do with every element's number and its position, in the file's order.
func (x *sparse) each(do func(i, row, col int64) error) error {
	const some = 1 << 12
	first, second := make([]int64, some), make([]int64, some)
	for at := int64(0); at < x.n; at += some {
		count := min(some, x.n-at)
		if err := readIndices(first[:count], x.Positions, at); err != nil {
			return err
		}
		if len(x.Positions.Shape) == 2 {
			if err := readIndices(second[:count], x.Positions, x.n+at); err != nil {
				return err
			}
		}
		for i, row := range first[:count] {
			col := second[i]
			if len(x.Positions.Shape) == 1 && row >= 0 && x.cols > 0 {
				row, col = row/x.cols, row%x.cols
			}
			if row < 0 || row >= x.rows {
				return &IndexError{Tensor: x.param.Name, Index: row, Rows: x.rows}
			}
			if col < 0 || col >= x.cols {
				return &IndexError{Tensor: x.param.Name, Index: col, Rows: x.cols, Column: true}
			}
			if err := do(at+int64(i), row, col); err != nil {
				return err
			}
		}
	}
	return nil
}

// Packed are where each row's elements begin, and those after the last row, then their
// columns and values, by row.

const (
	startSize   = 8
	elementSize = 8
)

// PackSize implements Bound.
func (x *sparse) PackSize() int64 { return startSize*(x.rows+1) + elementSize*x.n }

type packedSparse struct{ starts, elements []byte }

func (x *sparse) unpack(packed []byte) packedSparse {
	n := startSize * (x.rows + 1)
	return packedSparse{packed[:n], packed[n:]}
}

func (p packedSparse) start(row int64) int64 {
	return int64(binary.LittleEndian.Uint64(p.starts[startSize*row:]))
}

func (p packedSparse) setStart(row, at int64) {
	binary.LittleEndian.PutUint64(p.starts[startSize*row:], uint64(at))
}

// Pack implements Bound. It counts the elements of the rows, and then each element has
// its place.
func (x *sparse) Pack(ctx context.Context, dst []byte) error {
	p := x.unpack(dst)
	clear(p.starts)
	err := x.each(func(_, row, _ int64) error {
		p.setStart(row+1, p.start(row+1)+1)
		return nil
	})
	if err != nil {
		return err
	}
	for row := range x.rows {
		p.setStart(row+1, p.start(row+1)+p.start(row))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var value [1]float32
	var rounded [4]byte
	err = x.each(func(i, row, col int64) error {
		if err := ReadFloats(value[:], x.Values, i); err != nil {
			return err
		}
		if x.twice {
			kernel.Store(rounded[:x.dtype.Size()], value[:], x.dtype)
			kernel.Load(value[:], rounded[:x.dtype.Size()], x.dtype)
		}
		at := p.elements[elementSize*p.start(row):]
		binary.LittleEndian.PutUint32(at, uint32(col))
		binary.LittleEndian.PutUint32(at[4:], math.Float32bits(value[0]))
		p.setStart(row, p.start(row)+1)
		return nil
	})
	// Each start is now the next one's.
	copy(p.starts[startSize:], p.starts[:startSize*x.rows])
	p.setStart(0, 0)
	return err
}

// Rows implements Bound.
func (x *sparse) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	p := x.unpack(packed)
	return x.alter(ctx, dst, src, lo, hi, 1, func(_ *scratch, w []float32, from, to int64) error {
		for row := from; row < to; row++ {
			of := w[(row-from)*x.cols:][:x.cols]
			for at := p.start(row); at < p.start(row+1); at++ {
				e := p.elements[elementSize*at:]
				of[binary.LittleEndian.Uint32(e)] += math.Float32frombits(binary.LittleEndian.Uint32(e[4:]))
			}
		}
		return nil
	})
}
