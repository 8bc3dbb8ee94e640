package transform

import (
	"context"

	"lorafs/safetensors"
)

// Weightwise adds Scale·(Delta + W·A1·A2), where A1[in, r] and A2[r, in] act on the
// inputs of a layer, for a convolution at each element of its kernel (LyCORIS' GLoRA,
// modules/glora.py @4.1.3).
type Weightwise struct {
	Addition
	A1, A2 *safetensors.Tensor
}

var _ Transform = Weightwise{}

// Tensors implements Transform.
func (x Weightwise) Tensors() []*safetensors.Tensor {
	return append(x.Addition.Tensors(), x.A1, x.A2)
}

// Range implements Ranged.
func (x Weightwise) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	added, _ = x.Addition.Range(norm)
	return added, 1 + abs(x.Scale)*norm(x.A1)*norm(x.A2)
}

// Bind implements Transform.
func (x Weightwise) Bind(p Param, _ Rounding) (Bound, error) {
	turned, err := fit(p, x.Delta)
	if err != nil {
		return nil, err
	}
	rank := int64(0)
	if len(x.A2.Shape) > 0 {
		rank = x.A2.Shape[0]
	}
	inputs := p.Shape[1]
	for _, c := range []struct {
		t    *safetensors.Tensor
		want []int64
	}{{x.A1, []int64{inputs, rank}}, {x.A2, []int64{rank, inputs}}} {
		rows, cols := flatten(c.t.Shape)
		if turned || rows != c.want[0] || cols != c.want[1] {
			return nil, shapeError(p, c.t, c.want)
		}
		if err := needFloats(c.t); err != nil {
			return nil, err
		}
	}
	_, cols := flatten(p.Shape)
	b := &weightwise{Weightwise: x, rank: rank, inputs: inputs, cols: cols}
	if b.mapping, err = newMapping(p, 1, b.change); err != nil {
		return nil, err
	}
	return b, nil
}

type weightwise struct {
	Weightwise
	*mapping
	rank, inputs, cols int64
}

func (b *weightwise) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	return b.mapping.Rows(ctx, dst, src, packed, lo, hi)
}

func (b *weightwise) change(s *scratch, w []float32, lo, hi int64) error {
	s.left = grow(s.left, int(b.inputs*b.rank))
	s.right = grow(s.right, int(b.inputs*b.rank))
	if err := ReadFloats(s.left, b.A1, 0); err != nil {
		return err
	}
	if err := ReadFloats(s.right, b.A2, 0); err != nil {
		return err
	}
	s.sums = grow(s.sums, len(w))
	if err := b.Delta.Area(s.sums, Block{lo, hi - lo, 0, b.cols}); err != nil {
		return err
	}
	s.wide = grow(s.wide, int(b.rank+b.inputs))
	mid, out := s.wide[:b.rank], s.wide[b.rank:]
	kernel, scale := b.cols/b.inputs, float32(b.Scale)
	for i := range hi - lo {
		row, sum := w[i*b.cols:][:b.cols], s.sums[i*b.cols:][:b.cols]
		for k := range kernel {
			clear(mid)
			for j := range b.inputs {
				for r, a := range s.left[j*b.rank:][:b.rank] {
					mid[r] += row[j*kernel+k] * a
				}
			}
			multiply(out, mid, s.right, int(b.rank), int(b.inputs))
			for j, y := range out {
				sum[int64(j)*kernel+k] += y
			}
		}
		for j, d := range sum {
			row[j] += d * scale
		}
	}
	return nil
}
