package transform

import (
	"context"
	"math"

	"lorafs/lazymerge/transform/torchrand"
	"lorafs/safetensors"
)

// DrawnRandLoRA is RandLoRA with projections that were not saved: A and then B, basis
// by basis, come from one generator and are divided by their standard deviation (peft
// tuners/randlora/model.py:131 @0.21.2). PEFT draws in bfloat16 where the machine has
// it, as all have on which it is usual to train; without, what it draws is another
// adapter.
type DrawnRandLoRA struct {
	Lambda *safetensors.Tensor // [Rank, bases]
	Gamma  *safetensors.Tensor // [bases, smaller side]
	Rank   int64
	Seed   int64
	Scale  float64
	Class  Class
	// Sparse and VerySparse: elements are 0 but for one in 3, or in the root of the
	// smallest side, which are of one size.
	Sparse, VerySparse bool

	large, small int64 // sides of the largest layer
}

var _ Joint = DrawnRandLoRA{}

// Describe implements Transform.
func (t DrawnRandLoRA) Describe() Description {
	return Description{Type: "randlora", Rank: int(t.Rank), Scaling: t.Scale, Note: "projections drawn from the seed, as on a machine with bfloat16"}
}

// Tensors implements Transform.
func (t DrawnRandLoRA) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{t.Lambda, t.Gamma}
}

// Range implements Ranged. The projections' norms are those of their sizes, by the
// division, and no element of A is beyond its norm.
func (t DrawnRandLoRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	t.large, t.small = max(t.large, 1), max(t.small, 1) // before Join nothing but zero is told
	a := math.Sqrt(float64(t.Rank*t.small)) * 1.01
	b := math.Sqrt(float64(t.large*t.bases()*t.Rank)) * 1.01
	return abs(t.Scale) * norm(t.Lambda) * norm(t.Gamma) * a * b, 1
}

// Join implements Joint.
func (t DrawnRandLoRA) Join(p Peers) (Transform, error) {
	out, in := p.largest()
	t.large, t.small = max(out, in), min(out, in)
	return t, nil
}

// bases is how many give the largest layer full rank.
func (t DrawnRandLoRA) bases() int64 { return (t.small + t.Rank - 1) / t.Rank }

// Bind implements Transform.
func (t DrawnRandLoRA) Bind(p Param, r Rounding) (Bound, error) {
	in, out := p.inOut()
	small, large := min(in, out), max(in, out)
	bases := (small + t.Rank - 1) / t.Rank
	for _, x := range []struct {
		of   *safetensors.Tensor
		want []int64
	}{{t.Lambda, []int64{t.Rank, bases}}, {t.Gamma, []int64{bases, small}}} {
		if len(p.Shape) != 2 || len(x.of.Shape) != 2 || x.of.Shape[0] != x.want[0] || x.of.Shape[1] != x.want[1] {
			return nil, &ShapeError{Tensor: p.Name, Base: p.Shape, Other: x.of.Name, Want: x.want, Got: x.of.Shape}
		}
	}
	if err := needFloats(t.Lambda, t.Gamma); err != nil {
		return nil, err
	}
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	transposed := in > out != p.Conv1D
	return newDrawn(p, t.Rank*bases, transposed, t.Scale, t.Class.passes(r), func(ctx context.Context, s *scratch, a, b []float32) error {
		g := torchrand.New(t.Seed)
		// A goes where the last of its scaled copies ends, then B.
		basis := a[(t.Rank*bases-t.Rank)*small:]
		if err := t.drawA(ctx, g, basis, small); err != nil {
			return err
		}
		if err := t.drawB(ctx, g, b, large, bases); err != nil {
			return err
		}
		s.round(basis, dtype)
		s.round(b, dtype)
		return t.scaleBasis(s, a, basis, bases, small)
	})
}

// drawA draws the first small columns of A.
func (t DrawnRandLoRA) drawA(ctx context.Context, g *torchrand.Generator, dst []float32, small int64) error {
	var d deviation
	row := make([]float32, t.small)
	for i := range t.Rank {
		if err := ctx.Err(); err != nil {
			return err
		}
		t.draw(g, row, t.small)
		d.add(row)
		copy(dst[i*small:(i+1)*small], row)
	}
	t.divide(dst, d.of())
	return nil
}

// drawB draws the first large rows of the first bases, which dst holds side by side.
func (t DrawnRandLoRA) drawB(ctx context.Context, g *torchrand.Generator, dst []float32, large, bases int64) error {
	var d deviation
	row := make([]float32, t.Rank)
	step := func(n, o int64) {
		t.draw(g, row, t.Rank)
		d.add(row)
		if n < bases && o < large {
			copy(dst[(o*bases+n)*t.Rank:], row)
		}
	}
	// The sparse matrix is drawn at once, the others a basis at a time.
	outer, inner := t.bases(), t.large
	if t.sparse() {
		outer, inner = inner, outer
	}
	for i := range outer {
		if err := ctx.Err(); err != nil {
			return err
		}
		for j := range inner {
			if t.sparse() {
				step(j, i)
			} else {
				step(i, j)
			}
		}
	}
	t.divide(dst, d.of())
	return nil
}

func (t DrawnRandLoRA) sparse() bool { return t.Sparse || t.VerySparse }

// draw draws elements of a matrix with so many inputs.
func (t DrawnRandLoRA) draw(g *torchrand.Generator, dst []float32, inputs int64) {
	if !t.sparse() {
		bound := float32(1 / math.Sqrt(float64(inputs)))
		g.UniformBrains(dst, -bound, bound)
		return
	}
	one := 3.0 // in so many is not 0
	if t.VerySparse {
		one = math.Sqrt(float64(t.small))
	}
	low, high := float32(1/(2*one)), float32(1-1/(2*one))
	g.Uniform(dst, 0, 1)
	for i, x := range dst {
		dst[i] = 0
		if x < low {
			dst[i] = -1
		} else if x > high {
			dst[i] = 1
		}
	}
}

func (t DrawnRandLoRA) divide(values []float32, by float64) {
	std := float32(by)
	if !t.sparse() {
		std = torchrand.Brain(std)
	}
	for i, x := range values {
		if values[i] = x / std; !t.sparse() {
			values[i] = torchrand.Brain(values[i])
		}
	}
}

// scaleBasis fills dst with Lambda[i, n]·basis[i]∘Gamma[n]. basis is the end of dst: a
// row of it is overwritten with the last of its own copies, or with those of rows
// before, of which no copy reaches a row that is still to be read.
func (t DrawnRandLoRA) scaleBasis(s *scratch, dst, basis []float32, bases, small int64) error {
	s.left = grow(s.left, int(t.Rank*bases))
	if err := ReadFloats(s.left, t.Lambda, 0); err != nil {
		return err
	}
	s.wide = grow(s.wide, int(small))
	s.right = grow(s.right, int(small))
	for i := range t.Rank {
		copy(s.wide, basis[i*small:(i+1)*small])
		for n := range bases {
			if err := ReadFloats(s.right, t.Gamma, n*small); err != nil {
				return err
			}
			row := dst[(i*bases+n)*small:][:small]
			for j, gamma := range s.right {
				row[j] = s.left[i*bases+n] * s.wide[j] * gamma
			}
		}
	}
	return nil
}

// deviation sums up a standard deviation.
type deviation struct{ n, sum, squares float64 }

func (d *deviation) add(values []float32) {
	for _, x := range values {
		d.sum += float64(x)
		d.squares += float64(x) * float64(x)
	}
	d.n += float64(len(values))
}

func (d *deviation) of() float64 { return math.Sqrt((d.squares - d.sum*d.sum/d.n) / (d.n - 1)) }
