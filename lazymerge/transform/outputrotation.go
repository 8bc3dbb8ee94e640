package transform

import (
	"context"
	"encoding/binary"
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// OutputRotation multiplies the outputs of a layer with orthogonal blocks, and then
// each with Rescale. R = (I+Q)(I−Q)⁻¹ with Q = B−Bᵀ of each block B, all of Q made
// smaller where its norm is beyond Constraint.
//
// Blocks [n, b, b] (LyCORIS' Diag-OFT, modules/diag_oft.py @4.1.3; sd-scripts
// networks/oft.py) lie on the diagonal and are applied transposed. Blocks [m, n, b, b]
// (LyCORIS' BOFT, functional/boft.py) are m such layers, where block k of layer i takes
// outputs that are 2^i·b/2 apart.
type OutputRotation struct {
	Blocks     *safetensors.Tensor
	Rescale    *safetensors.Tensor // nil, or one element for each output
	Constraint float64             // times the number of outputs; see Always
	Always     bool                // a constraint of 0 allows nothing, instead of everything
}

var _ Transform = OutputRotation{}

// Describe implements Transform.
func (o OutputRotation) Describe() Description {
	if len(o.Blocks.Shape) == 4 {
		return Description{Type: "boft", Rank: int(o.size())}
	}
	return Description{Type: "oft", Rank: int(o.size())}
}

// Tensors implements Transform.
func (o OutputRotation) Tensors() []*safetensors.Tensor {
	if o.Rescale == nil {
		return []*safetensors.Tensor{o.Blocks}
	}
	return []*safetensors.Tensor{o.Blocks, o.Rescale}
}

// Range implements Ranged. A rotation of n outputs makes none larger than √n times the
// largest; all stages of a butterfly are one of a group of blocks.
func (o OutputRotation) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	times = math.Sqrt(float64(o.size()) * math.Exp2(float64(o.stages()-1)))
	if o.Rescale != nil {
		times *= norm(o.Rescale)
	}
	return 0, math.Nextafter(times, math.Inf(1))
}

func (o OutputRotation) size() int64 { return o.Blocks.Shape[len(o.Blocks.Shape)-1] }

func (o OutputRotation) stages() int64 {
	if len(o.Blocks.Shape) == 4 {
		return o.Blocks.Shape[0]
	}
	return 1
}

// Bind implements Transform.
func (o OutputRotation) Bind(p Param, _ Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	if err := needFloats(o.Tensors()...); err != nil {
		return nil, err
	}
	rows, _ := flatten(p.Shape)
	s := o.Blocks.Shape
	if len(s) < 3 || len(s) > 4 || s[len(s)-1] != s[len(s)-2] || len(p.Shape) < 2 {
		return nil, shapeError(p, o.Blocks, []int64{-1, -1, -1})
	}
	size, blocks := s[len(s)-1], s[len(s)-3]
	if size <= 0 || size*blocks != rows {
		return nil, shapeError(p, o.Blocks, []int64{rows / max(size, 1), size, size})
	}
	if o.Rescale != nil && product(o.Rescale.Shape) != rows {
		return nil, shapeError(p, o.Rescale, []int64{rows})
	}
	group := size
	if len(s) == 4 {
		for i := int64(1); i < s[0] && group <= rows; i++ {
			group *= 2
		}
		if size%2 != 0 || rows%group != 0 {
			return nil, shapeError(p, o.Blocks, []int64{1, blocks, size + size%2, size + size%2})
		}
	}
	return &outputRotation{OutputRotation: o, blocks: newBlocks(p, dtype), size: size, count: blocks, group: group}, nil
}

type outputRotation struct {
	OutputRotation
	blocks
	size, count, group int64
}

var _ Grouped = (*outputRotation)(nil)

// Group implements Grouped.
func (o *outputRotation) Group() int64 { return o.group }

// PackSize implements Bound: the rotations as fp32, stage by stage.
func (o *outputRotation) PackSize() int64 {
	return 4 * o.stages() * o.count * o.size * o.size
}

// Pack implements Bound.
func (o *outputRotation) Pack(ctx context.Context, dst []byte) error {
	s := getScratch()
	defer s.release()
	shrink, err := o.shrink(ctx, s)
	if err != nil {
		return err
	}
	n := int(o.size)
	q, r := make([]float64, n*n), make([]float64, n*n)
	for i := range o.stages() * o.count {
		if err := o.skew(ctx, s, q, i); err != nil {
			return err
		}
		for j := range q {
			q[j] *= shrink
		}
		if err := cayley(ctx, r, q, n); err != nil {
			return err
		}
		for j, x := range r {
			binary.LittleEndian.PutUint32(dst[4*(int(i)*n*n+j):], math.Float32bits(float32(x)))
		}
	}
	return nil
}

// skew sets q to B−Bᵀ of a block, rounded as torch rounds it.
func (o *outputRotation) skew(ctx context.Context, s *scratch, q []float64, block int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := o.size
	b, err := s.read(o.Blocks, block*n*n, (block+1)*n*n)
	if err != nil {
		return err
	}
	for i := range n {
		for j := range n {
			q[i*n+j] = float64(b[i*n+j] - b[j*n+i])
		}
	}
	return nil
}

// shrink is what all of Q is multiplied with.
func (o *outputRotation) shrink(ctx context.Context, s *scratch) (float64, error) {
	limit := o.Constraint * float64(o.rows)
	if limit <= 0 {
		if o.Always {
			return 0, nil
		}
		return 1, nil
	}
	q := make([]float64, o.size*o.size)
	var squares float64
	for i := range o.stages() * o.count {
		if err := o.skew(ctx, s, q, i); err != nil {
			return 0, err
		}
		for _, x := range q {
			squares += x * x
		}
	}
	norm := math.Sqrt(squares) + 1e-8
	return min(1, limit/norm), nil
}

// Rows implements Bound.
func (o *outputRotation) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	s := getScratch()
	defer s.release()
	width := max(blockElements/o.group, 16)
	for ; lo < hi; lo += o.group {
		for left := int64(0); left < o.cols; left += width {
			if err := ctx.Err(); err != nil {
				return err
			}
			a := area{row: lo, rows: o.group, left: left, cols: min(width, o.cols-left)}
			if err := o.rotate(s, dst, src, packed, a); err != nil {
				return err
			}
		}
		dst, src = dst[o.group*o.rowBytes():], src[o.group*o.rowBytes():]
	}
	return nil
}

// area is a group's rows in some of the columns: a group may be all of the tensor.
type area struct{ row, rows, left, cols int64 }

func (o *outputRotation) rowBytes() int64 { return o.cols * int64(o.dtype.Size()) }

// cut is where a row of the area lies in a buffer that begins with the area's first row.
func (o *outputRotation) cut(b []byte, a area, row int64) []byte {
	size := int64(o.dtype.Size())
	return b[row*o.rowBytes()+a.left*size:][:a.cols*size]
}

// rotate computes the area. What it reads and writes is the same columns, so dst and
// src may be the same memory.
func (o *outputRotation) rotate(s *scratch, dst, src, packed []byte, a area) error {
	s.delta = grow(s.delta, int(a.rows*a.cols))
	for i := range a.rows {
		kernel.Load(s.delta[i*a.cols:][:a.cols], o.cut(src, a, i), o.dtype)
	}
	sound := o.param.AllowNonFinite || kernel.Finite(s.delta)
	for stage := range o.stages() {
		o.turn(s, packed, stage, a)
	}
	if err := o.rescale(s, a); err != nil {
		return err
	}
	for i := range a.rows {
		if !kernel.Store(o.cut(dst, a, i), s.delta[i*a.cols:][:a.cols], o.dtype) && sound && !o.param.AllowNonFinite {
			return o.overflow(a.row + i)
		}
	}
	return nil
}

// turn applies the blocks of a stage to an area in s.delta.
func (o *outputRotation) turn(s *scratch, packed []byte, stage int64, a area) {
	n := o.size
	s.left = grow(s.left, int(n*n))
	s.turn = grow(s.turn, int(n*a.cols))
	for at := a.row; at < a.row+a.rows; at += n {
		block := at / n
		base := 4 * (stage*o.count + block) * n * n
		for i := range s.left {
			s.left[i] = math.Float32frombits(binary.LittleEndian.Uint32(packed[base+4*int64(i):]))
		}
		butterfly := len(o.Blocks.Shape) == 4
		clear(s.turn)
		for i := range n {
			out := s.turn[i*a.cols:][:a.cols]
			for j := range n {
				f := s.left[i*n+j]
				if !butterfly {
					f = s.left[j*n+i]
				}
				in := s.delta[(o.row(stage, block, j)-a.row)*a.cols:][:a.cols]
				for k, x := range in {
					out[k] += f * x
				}
			}
		}
		for i := range n {
			copy(s.delta[(o.row(stage, block, i)-a.row)*a.cols:][:a.cols], s.turn[i*a.cols:][:a.cols])
		}
	}
}

// row is the output that is row i of a block in a stage. Stage s of a butterfly sees
// outputs (c, g, k), g of 2 and k of 2^s·b/2, in the order (c, k, g).
func (o *outputRotation) row(stage, block, i int64) int64 {
	at := block*o.size + i
	if len(o.Blocks.Shape) != 4 {
		return at
	}
	k := o.size / 2 << stage
	c, rest := at/(2*k), at%(2*k)
	return c*2*k + rest%2*k + rest/2
}

func (o *outputRotation) rescale(s *scratch, a area) error {
	if o.Rescale == nil {
		return nil
	}
	by, err := s.read(o.Rescale, a.row, a.row+a.rows)
	if err != nil {
		return err
	}
	for i, f := range by {
		row := s.delta[int64(i)*a.cols:][:a.cols]
		for j := range row {
			row[j] *= f
		}
	}
	return nil
}
