package transform

import (
	"context"
	"math"

	"lorafs/safetensors"
)

// Reflections multiplies the inputs of a layer, for a convolution those of all places
// of its kernel, with Householder reflections at the columns u of U, each made to have
// the length 1: W' = rd(W·(I−2·u₀·u₀ᵀ)·(I−2·u₁·u₁ᵀ)·…), or W' = rd(W·(I−2·V·Vᵀ)) for
// the columns of U made Orthogonal, in order (peft tuners/hra/layer.py:208 @0.21.2).
type Reflections struct {
	U          *safetensors.Tensor // [in, r]
	Orthogonal bool
}

var _ Transform = Reflections{}

// Describe implements Transform.
func (x Reflections) Describe() Description { return Description{Type: "hra", Rank: int(x.rank())} }

func (x Reflections) rank() int64 {
	if len(x.U.Shape) != 2 {
		return 0
	}
	return x.U.Shape[1]
}

// Tensors implements Transform.
func (x Reflections) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{x.U} }

// Range implements Ranged. The length of a row of n weights stays what it is: at most √n
// times the largest.
func (x Reflections) Range(func(*safetensors.Tensor) float64) (added, times float64) {
	return 0, 1 + math.Sqrt(float64(product(x.U.Shape)/max(x.rank(), 1)))
}

// Bind implements Transform.
func (x Reflections) Bind(p Param, _ Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	if err := needFloats(x.U); err != nil {
		return nil, err
	}
	b := &reflections{Reflections: x, blocks: newBlocks(p, dtype)}
	if len(x.U.Shape) != 2 || len(p.Shape) < 2 || x.U.Shape[0] != b.cols {
		return nil, shapeError(p, x.U, []int64{b.cols, -1})
	}
	return b, nil
}

type reflections struct {
	Reflections
	blocks
}

// PackSize implements Bound: the directions, one after the other, as fp32.
func (x *reflections) PackSize() int64 { return 4 * x.cols * x.rank() }

// Pack implements Bound.
func (x *reflections) Pack(ctx context.Context, dst []byte) error {
	packed, n := packedFloats(dst), int(x.cols)
	if err := (Turned{Stored{x.U}}).Area(packed, Block{0, x.rank(), 0, x.cols}); err != nil {
		return err
	}
	for i := range int(x.rank()) {
		if err := ctx.Err(); err != nil {
			return err
		}
		u := packed[i*n:][:n]
		if x.Orthogonal {
			for j := range i {
				v := packed[j*n:][:n]
				subtract(u, v, dot(v, u))
			}
		}
		// A column of zeros has no direction: PEFT makes NaN of the weights, and rows
		// then do not fit their dtype.
		length := float32(math.Sqrt(dot(u, u)))
		for j := range u {
			u[j] /= length
		}
	}
	return nil
}

func dot(x, y []float32) (sum float64) {
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

// subtract takes times·y away from x.
func subtract(x, y []float32, times float64) {
	for i, v := range y {
		x[i] -= float32(times * float64(v))
	}
}

// Rows implements Bound.
func (x *reflections) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	directions := packedFloats(packed)
	return x.alter(ctx, dst, src, lo, hi, 1, func(s *scratch, w []float32, _, _ int64) error {
		n, rank := int(x.cols), int(x.rank())
		for ; len(w) > 0; w = w[n:] {
			row, of := w[:n], w[:n]
			if x.Orthogonal {
				// All products are with the row as it was.
				s.left = grow(s.left, n)
				copy(s.left, row)
				of = s.left
			}
			for i := range rank {
				u := directions[i*n:][:n]
				subtract(row, u, 2*dot(of, u))
			}
		}
		return nil
	})
}
