package transform

import (
	"context"
	"math"

	"lorafs/lazymerge/transform/torchrand"
	"lorafs/safetensors"
)

// DrawnVeRA is VeRA or PVeRA with projections that were not saved: A and then B come
// from one generator, each uniform in ±√(6/columns), and are kept in the base's dtype
// (peft tuners/vera/model.py:150 @0.21.2).
type DrawnVeRA struct {
	Type             string
	Rank             int64
	Rows             int64 // of A, Rank or more
	Seed             int64
	LambdaB, LambdaD *safetensors.Tensor // [out], [Rows]
	Class            Class

	out, in int64 // most of any layer
}

var _ Joint = DrawnVeRA{}

// Describe implements Transform.
func (v DrawnVeRA) Describe() Description {
	return Description{Type: v.Type, Rank: int(v.Rank), Scaling: 1, Note: "projections drawn from the seed"}
}

// Tensors implements Transform.
func (v DrawnVeRA) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{v.LambdaD, v.LambdaB}
}

// Range implements Ranged: no element of A and B is beyond its bound.
func (v DrawnVeRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return norm(v.LambdaB) * norm(v.LambdaD) * kaiming(max(v.in, 1)) * kaiming(v.Rank) * math.Sqrt(float64(v.Rank)), 1
}

// Join implements Joint.
func (v DrawnVeRA) Join(p Peers) (Transform, error) {
	v.out, v.in = p.largest()
	return v, nil
}

// kaiming is the bound of torch's kaiming_uniform_ by inputs.
func kaiming(inputs int64) float64 {
	return math.Sqrt(3) * (math.Sqrt2 / math.Sqrt(float64(inputs)))
}

// Bind implements Transform.
func (v DrawnVeRA) Bind(p Param, r Rounding) (Bound, error) {
	in, out := p.inOut()
	if len(p.Shape) != 2 || product(v.LambdaB.Shape) != out {
		return nil, &ShapeError{Tensor: p.Name, Base: p.Shape, Other: v.LambdaB.Name, Want: []int64{out}, Got: v.LambdaB.Shape}
	}
	if product(v.LambdaD.Shape) != v.Rows {
		return nil, &ShapeError{Tensor: p.Name, Base: p.Shape, Other: v.LambdaD.Name, Want: []int64{v.Rows}, Got: v.LambdaD.Shape}
	}
	if err := needFloats(v.LambdaB, v.LambdaD); err != nil {
		return nil, err
	}
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	return newDrawn(p, v.Rank, p.Conv1D, 1, v.Class.passes(r), func(ctx context.Context, s *scratch, a, b []float32) error {
		g := torchrand.New(v.Seed)
		if err := v.fill(ctx, g, a, v.Rank, in, v.in); err != nil {
			return err
		}
		g.Skip((v.Rows - v.Rank) * v.in)
		if err := v.fill(ctx, g, b, out, v.Rank, v.Rank); err != nil {
			return err
		}
		s.round(a, dtype)
		s.round(b, dtype)
		if err := scaleRows(s, a, v.LambdaD, in); err != nil {
			return err
		}
		return scaleRows(s, b, v.LambdaB, v.Rank)
	})
}

// fill draws the first cols columns of rows that have all of them.
func (v DrawnVeRA) fill(ctx context.Context, g *torchrand.Generator, dst []float32, rows, cols, all int64) error {
	bound := float32(kaiming(all))
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.Uniform(dst[i*cols:(i+1)*cols], -bound, bound)
		g.Skip(all - cols)
	}
	return nil
}

// scaleRows multiplies each row of m by an element of a vector.
func scaleRows(s *scratch, m []float32, by *safetensors.Tensor, cols int64) error {
	if cols == 0 {
		return nil
	}
	s.wide = grow(s.wide, len(m)/int(cols))
	if err := ReadFloats(s.wide, by, 0); err != nil {
		return err
	}
	for i, x := range s.wide {
		row := m[i*int(cols):][:cols]
		for j := range row {
			row[j] *= x
		}
	}
	return nil
}
