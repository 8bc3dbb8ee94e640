package transform

import (
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// Scaling multiplies a weight's outputs, or its inputs, with By: W' = rd(W∘l) (PEFT's
// IA3; peft tuners/ia3/layer.py:96 and 222 @0.21.2). A bias, which has one dimension,
// is multiplied element by element.
type Scaling struct {
	By     *safetensors.Tensor
	Inputs bool // By is for the inputs (a feed-forward module)
	// Plus is added to By first: LyCORIS' IA3 holds differences from 1
	// (modules/ia3.py @4.1.3).
	Plus float32
}

var _ Transform = Scaling{}

// Describe implements Transform.
func (x Scaling) Describe() Description { return Description{Type: "ia3"} }

// Tensors implements Transform.
func (x Scaling) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{x.By} }

// Range implements Ranged.
func (x Scaling) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	if n := norm(x.By) + float64(x.Plus); n != 1 {
		return 0, n
	}
	return 0, math.Nextafter(1, 2) // not that nothing changes
}

// Bind implements Transform.
func (x Scaling) Bind(p Param, _ Rounding) (Bound, error) {
	if err := needFloats(x.By); err != nil {
		return nil, err
	}
	n := product(x.By.Shape)
	rows, cols := flatten(p.Shape)
	switch along := p.along(n, x.Inputs); {
	case len(p.Shape) == 0:
	case len(p.Shape) == 1 && x.Inputs:
	case len(p.Shape) > 2 && x.Inputs:
		return x.bindChannels(p, n)
	case along == alongRows && n == rows:
		return newMapping(p, 1, x.scaleRows(cols))
	case along == alongColumns && n == cols:
		return newMapping(p, 1, x.scaleColumns(rows, cols, n, 1))
	}
	want := rows
	if x.Inputs {
		want = cols
	}
	return nil, shapeError(p, x.By, []int64{want})
}

// bindChannels is for the inputs of a convolution. A grouped one has in/groups of them
// in its weight, and By has them all.
func (x Scaling) bindChannels(p Param, n int64) (Bound, error) {
	rows, cols := flatten(p.Shape)
	if in := p.Shape[1]; in == 0 || n%in != 0 || n == 0 || rows%(n/in) != 0 {
		return nil, shapeError(p, x.By, []int64{in})
	}
	return newMapping(p, 1, x.scaleColumns(rows, cols, n, n/p.Shape[1]))
}

func (x Scaling) scaleRows(cols int64) change {
	return func(s *scratch, w []float32, lo, hi int64) error {
		by, err := s.read(x.By, lo, hi)
		if err != nil {
			return err
		}
		for i, l := range by {
			row := w[int64(i)*cols:][:cols]
			l += x.Plus
			for j := range row {
				row[j] *= l
			}
		}
		return nil
	}
}

// scaleColumns takes an element of By for each kernel of an input, and the next ones
// for the next group of rows.
func (x Scaling) scaleColumns(rows, cols, n, groups int64) change {
	inputs := n / groups
	size := cols / inputs // of an input's kernel
	return func(s *scratch, w []float32, lo, hi int64) error {
		by, err := s.read(x.By, 0, n)
		if err != nil {
			return err
		}
		for i := lo; i < hi; i++ {
			row := w[(i-lo)*cols:][:cols]
			l := by[i/(rows/groups)*inputs:]
			if size == 1 && x.Plus == 0 {
				kernel.Mul(row, l)
				continue
			}
			for j := range row {
				row[j] *= l[int64(j)/size] + x.Plus
			}
		}
		return nil
	}
}
