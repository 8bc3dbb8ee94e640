package transform

import (
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// GLoRA is W' = W + (W∘A + B), where every step is rounded to the dtype of the weight,
// A and B as well (peft tuners/glora/layer.py:180 @0.21.2).
type GLoRA struct{ A, B Path }

// Path is one of GLoRA's matrices: the product Down·Up, or X, which may be whole, an
// element for each row or one for all. The zero Path is a matrix of zeros.
type Path struct{ X, Down, Up *safetensors.Tensor }

func (x Path) none() bool { return x.X == nil && x.Down == nil }

func (x Path) tensors() []*safetensors.Tensor {
	switch {
	case x.none():
		return nil
	case x.X != nil:
		return []*safetensors.Tensor{x.X}
	}
	return []*safetensors.Tensor{x.Down, x.Up}
}

// most bounds the elements.
func (x Path) most(norm func(*safetensors.Tensor) float64) float64 {
	switch {
	case x.none():
		return 0
	case x.X != nil:
		return norm(x.X)
	}
	return norm(x.Down) * norm(x.Up)
}

// bind makes it a matrix of the size, rounded to a dtype; nil for one of zeros.
func (x Path) bind(p Param, rows, cols int64, dtype kernel.DType) (Matrix, error) {
	var m Matrix
	switch {
	case x.none():
		return nil, nil
	case x.Down != nil:
		m = Product{Stored{x.Down}, Stored{x.Up}}
	case product(x.X.Shape) == rows*cols && cols != 1:
		m = Stored{x.X}
	default:
		m = Spread{x.X, rows, cols}
	}
	if err := m.Check(); err != nil {
		return nil, about(err, p)
	}
	if r, c := m.Size(); r != rows || c != cols {
		return nil, about(sizeError(m, []int64{rows, cols}), p)
	}
	if dtype == kernel.F32 {
		return m, nil
	}
	return Rounded{m, dtype}, nil
}

// Spread is a matrix whose rows are of one value, that of their place in Of, or of the
// only one there is.
type Spread struct {
	Of         *safetensors.Tensor
	Rows, Cols int64
}

var _ Matrix = Spread{}

// Size implements Matrix.
func (m Spread) Size() (rows, cols int64) { return m.Rows, m.Cols }

// Check implements Matrix.
func (m Spread) Check() error {
	if n := product(m.Of.Shape); n != 1 && n != m.Rows {
		return &ShapeError{Other: m.Of.Name, Got: m.Of.Shape, Want: []int64{m.Rows}}
	}
	return needFloats(m.Of)
}

// Area implements Matrix.
func (m Spread) Area(dst []float32, b Block) error {
	s := getScratch()
	defer s.release()
	of := Block{b.Row, b.Rows, 0, 1}
	if product(m.Of.Shape) == 1 {
		of = Block{0, 1, 0, 1}
	}
	s.left = grow(s.left, of.size())
	if err := (Vector{m.Of}).Area(s.left, of); err != nil {
		return err
	}
	for i := range dst[:b.size()] {
		dst[i] = s.left[int64(i)/b.Cols%of.Rows]
	}
	return nil
}

// Tensors implements Matrix.
func (m Spread) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.Of} }

// Norm implements Matrix.
func (m Spread) Norm(of func(*safetensors.Tensor) float64) float64 {
	n := m.Cols
	if product(m.Of.Shape) == 1 {
		n *= m.Rows
	}
	return of(m.Of) * math.Sqrt(float64(n))
}

var _ Transform = GLoRA{}

// Describe implements Transform.
func (x GLoRA) Describe() Description { return x.A.describe() }

func (x Path) describe() Description {
	d := Description{Type: "glora"}
	if x.Up != nil && len(x.Up.Shape) > 0 {
		d.Rank = int(x.Up.Shape[0])
	}
	return d
}

// Tensors implements Transform.
func (x GLoRA) Tensors() []*safetensors.Tensor { return append(x.A.tensors(), x.B.tensors()...) }

// Range implements Ranged.
func (x GLoRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return x.B.most(norm), 1 + x.A.most(norm)
}

// Bind implements Transform.
func (x GLoRA) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	rows, cols := flatten(p.Shape)
	inner := stepType(dtype, r)
	a, err := x.A.bind(p, rows, cols, inner)
	if err != nil {
		return nil, err
	}
	b, err := x.B.bind(p, rows, cols, inner)
	if err != nil {
		return nil, err
	}
	return newMapping(p, 1, func(s *scratch, w []float32, lo, hi int64) error {
		s.sums = grow(s.sums, len(w))
		area := Block{lo, hi - lo, 0, cols}
		if err := affine(s, s.sums, w, a, b, area, inner); err != nil {
			return err
		}
		for i, x := range s.sums {
			w[i] += x
		}
		return nil
	})
}

// stepType is the dtype that the steps of a merge are rounded to.
func stepType(d kernel.DType, r Rounding) kernel.DType {
	if r == Once {
		return kernel.F32
	}
	return d
}

// affine sets dst to w∘a + b in an area, rounded after each step; a and b may be nil.
func affine(s *scratch, dst, w []float32, a, b Matrix, area Block, dtype kernel.DType) error {
	clear(dst)
	if a != nil {
		if err := a.Area(dst, area); err != nil {
			return err
		}
		for i, x := range w {
			dst[i] *= x
		}
		s.round(dst, dtype)
	}
	if b == nil {
		return nil
	}
	s.right = grow(s.right, len(dst))
	if err := b.Area(s.right, area); err != nil {
		return err
	}
	for i, x := range s.right {
		dst[i] += x
	}
	s.round(dst, dtype)
	return nil
}

// GLoRABias is b' = b + (b∘D + E + W·C), rounded as GLoRA is, where W is the weight of
// the module before it is merged.
type GLoRABias struct{ C, D, E Path }

var _ Neighbour = GLoRABias{}

// Describe implements Transform.
func (x GLoRABias) Describe() Description { return x.C.describe() }

// Tensors implements Transform.
func (x GLoRABias) Tensors() []*safetensors.Tensor {
	return append(append(x.C.tensors(), x.D.tensors()...), x.E.tensors()...)
}

// Beside implements Neighbour.
func (x GLoRABias) Beside() string {
	if x.C.none() {
		return ""
	}
	return "weight"
}

// Range implements Ranged. The weight's norm is not known.
func (x GLoRABias) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	added, times = x.E.most(norm), 1+x.D.most(norm)
	if x.C.most(norm) != 0 {
		added = math.Inf(1)
	}
	return added, times
}

// Bind implements Transform.
func (x GLoRABias) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	rows := product(p.Shape)
	inner := stepType(dtype, r)
	if len(p.Shape) != 1 {
		return nil, &ShapeError{Tensor: p.Name, Want: []int64{-1}, Got: p.Shape}
	}
	d, err := x.D.bind(p, rows, 1, inner)
	if err != nil {
		return nil, err
	}
	e, err := x.E.bind(p, rows, 1, inner)
	if err != nil {
		return nil, err
	}
	c, err := x.bindCoupling(p, inner)
	if err != nil {
		return nil, err
	}
	return newMapping(p, 1, func(s *scratch, w []float32, lo, hi int64) error {
		s.sums = grow(s.sums, len(w))
		if err := affine(s, s.sums, w, d, e, Block{lo, hi - lo, 0, 1}, inner); err != nil {
			return err
		}
		if err := c.add(s, s.sums, lo, hi, inner); err != nil {
			return err
		}
		for i, x := range s.sums {
			w[i] += x
		}
		return nil
	})
}

// coupling is W·C.
type coupling struct {
	of     Matrix // C, [in, 1]; nil for none
	weight Rows
	dtype  kernel.DType
	cols   int64
}

func (x GLoRABias) bindCoupling(p Param, inner kernel.DType) (coupling, error) {
	if x.C.none() {
		return coupling{}, nil
	}
	w := p.Beside
	if w.Tensor == nil || len(w.Shape) != 2 || w.Count != p.Shape[0] || w.DType != p.DType {
		e := &ShapeError{Tensor: p.Name, Other: "weight", Want: []int64{p.Shape[0], -1}}
		if w.Tensor != nil {
			e.Other, e.Got = w.Name, w.Shape
		}
		return coupling{}, e
	}
	dtype, err := kernelType(w.Info)
	if err != nil {
		return coupling{}, err
	}
	of, err := x.C.bind(p, w.Shape[1], 1, inner)
	return coupling{of: of, weight: w, dtype: dtype, cols: w.Shape[1]}, err
}

// add adds the outputs [lo,hi) of it, and rounds them and the sums.
func (c coupling) add(s *scratch, sums []float32, lo, hi int64, inner kernel.DType) error {
	if c.of == nil {
		return nil
	}
	s.left = grow(s.left, int(c.cols))
	if err := c.of.Area(s.left, Block{0, c.cols, 0, 1}); err != nil {
		return err
	}
	s.right, s.turn = grow(s.right, int(c.cols)), grow(s.turn, int(hi-lo))
	size := c.cols * int64(c.dtype.Size())
	for i := range hi - lo {
		row := c.weight.First + lo + i
		b, err := c.weight.Slice(row*size, (row+1)*size)
		if err != nil {
			return err
		}
		kernel.Load(s.right, b, c.dtype)
		s.turn[i] = float32(dot(s.right, s.left))
	}
	s.round(s.turn, inner)
	for i, x := range s.turn {
		sums[i] += x
	}
	s.round(sums, inner)
	return nil
}
