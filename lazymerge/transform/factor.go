package transform

import (
	"lorafs/safetensors"
)

// factor is a matrix that packing and gathering read.
type factor interface {
	// read is the elements [lo,hi), counted along the rows: either a part of one row or
	// whole rows. The result is good until the next read with s.
	read(s *scratch, lo, hi int64) ([]float32, error)
}

type storedFactor struct{ *safetensors.Tensor }

func (f storedFactor) read(s *scratch, lo, hi int64) ([]float32, error) {
	return s.read(f.Tensor, lo, hi)
}

type madeFactor struct {
	Matrix
	cols int64
}

func (f madeFactor) read(s *scratch, lo, hi int64) ([]float32, error) {
	s.wide = grow(s.wide, int(hi-lo))
	b := Block{lo / f.cols, 1, lo % f.cols, hi - lo}
	if lo%f.cols == 0 && hi%f.cols == 0 {
		b = Block{lo / f.cols, (hi - lo) / f.cols, 0, f.cols}
	}
	return s.wide, f.Area(s.wide, b)
}

func newFactor(m Matrix) factor {
	if t, ok := m.(Stored); ok {
		return storedFactor(t)
	}
	_, cols := m.Size()
	return madeFactor{m, max(cols, 1)}
}

// Factors adds Scale·B·A, like LowRank, where A[rank, in] and B[out, rank] are made
// from tensors when they are needed: A once for each tensor of the base, B with every
// row. A turned parameter (transformers' Conv1D) takes the transpose.
type Factors struct {
	Type  string // for reports
	A, B  Matrix
	Scale float64
	Class Class
	Note  string
}

var _ Transform = Factors{}

// Describe implements Transform.
func (f Factors) Describe() Description {
	rank, _ := f.A.Size()
	return Description{Type: f.Type, Rank: int(rank), Scaling: f.Scale, Note: f.Note}
}

// Tensors implements Transform.
func (f Factors) Tensors() []*safetensors.Tensor { return append(f.A.Tensors(), f.B.Tensors()...) }

// Range implements Ranged.
func (f Factors) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return abs(f.Scale) * f.A.Norm(norm) * f.B.Norm(norm), 1
}

// Bind implements Transform.
func (f Factors) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	delta := Product{f.B, f.A}
	turned, err := fit(p, delta)
	if err != nil {
		return nil, err
	}
	rows, cols := flatten(p.Shape)
	rank, _ := f.A.Size()
	l := &lowRank{param: p, dtype: dtype, scale: f.Scale, passes: f.Class.passes(r)}
	l.factors = factors{rows: rows, cols: cols, rank: rank, left: newFactor(f.B), right: newFactor(f.A)}
	if turned {
		l.left, l.right, l.transposed = l.right, l.left, true
	}
	return l, nil
}

// fit holds the size of a delta [out, in] against a parameter. turned says that the
// parameter is stored [in, out].
func fit(p Param, delta Matrix) (turned bool, err error) {
	if err := delta.Check(); err != nil {
		return false, about(err, p)
	}
	rows, cols := flatten(p.Shape)
	out, in := delta.Size()
	straight := len(p.Shape) >= 2 && out == rows && in == cols
	turned = len(p.Shape) == 2 && out == cols && in == rows && !p.Straight
	switch {
	case straight && turned:
		return p.Conv1D, nil
	case straight || turned:
		return turned, nil
	}
	if p.Conv1D {
		rows, cols = cols, rows
	}
	return false, about(sizeError(delta, []int64{rows, cols}), p)
}

// direction is how a vector lies on a weight.
type direction uint8

const (
	alongRows    direction = iota // an element for each row
	alongColumns                  // an element for each column
)

// along finds how a vector of n elements, for the inputs or the outputs of a layer,
// lies on its weight: outputs are rows unless the weight is stored [in, out].
func (p Param) along(n int64, inputs bool) direction {
	rows, cols := flatten(p.Shape)
	straight, size, other := alongRows, rows, cols
	if inputs {
		straight, size, other = alongColumns, cols, rows
	}
	if len(p.Shape) == 2 && other == n && (p.Conv1D || size != n) && !p.Straight {
		return 1 - straight
	}
	return straight
}

// sides is the number of outputs and inputs of the layer whose weight p is, where n
// outputs are expected.
func (p Param) sides(n int64) (outputs, inputs int64) {
	rows, cols := flatten(p.Shape)
	if p.along(n, false) == alongColumns {
		return cols, rows
	}
	return rows, cols
}

func abs(x float64) float64 { return max(x, -x) }
