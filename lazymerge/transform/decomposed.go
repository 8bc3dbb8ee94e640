package transform

import (
	"context"
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// Decomposed sets the length of each output's or each input's weights to Magnitude:
// N = W + Scale·Delta, W' = rd((m/(‖N‖+ε))·N), ε that of fp32 (LyCORIS'
// weight_decompose, functional/general.py @4.1.3). Magnitude [out, 1…] is for outputs,
// [1, in, 1…] for inputs; an input's weights are those of all outputs and of its
// kernel.
type Decomposed struct {
	Addition
	Magnitude *safetensors.Tensor
}

var _ Transform = Decomposed{}

// epsilon is added to norms: torch.finfo(float32).eps.
const epsilon = 0x1p-23

// Describe implements Transform.
func (d Decomposed) Describe() Description {
	out := d.Addition.Describe()
	out.Type += " (dora)"
	return out
}

// Tensors implements Transform.
func (d Decomposed) Tensors() []*safetensors.Tensor {
	return append(d.Addition.Tensors(), d.Magnitude)
}

// Range implements Ranged.
func (d Decomposed) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return norm(d.Magnitude), 0
}

func (d Decomposed) inputs() bool {
	s := d.Magnitude.Shape
	return len(s) > 1 && s[0] == 1 && s[1] > 1
}

// Bind implements Transform. With norms of inputs the result is a Preparer.
func (d Decomposed) Bind(p Param, _ Rounding) (Bound, error) {
	if err := needFloats(d.Magnitude); err != nil {
		return nil, err
	}
	turned, err := fit(p, d.Delta)
	if err != nil {
		return nil, err
	}
	rows, cols := flatten(p.Shape)
	want, n := rows, product(d.Magnitude.Shape)
	if d.inputs() {
		want = p.Shape[1]
	}
	if turned || n != want {
		return nil, shapeError(p, d.Magnitude, []int64{want})
	}
	b := decomposed{delta: d.Delta, scale: float32(d.Scale), magnitude: d.Magnitude, cols: cols}
	if !d.inputs() {
		return newMapping(p, 1, b.byRow)
	}
	c := &inputDecomposed{decomposed: b, kernel: cols / max(n, 1)}
	if c.mapping, err = newMapping(p, 1, c.byInput); err != nil {
		return nil, err
	}
	return c, nil
}

type decomposed struct {
	delta     Matrix
	scale     float32
	magnitude *safetensors.Tensor
	cols      int64
}

// sum adds the delta to the rows [lo,hi) in w.
func (d *decomposed) sum(s *scratch, w []float32, lo, hi int64) error {
	s.sums = grow(s.sums, len(w))
	if err := d.delta.Area(s.sums, Block{lo, hi - lo, 0, d.cols}); err != nil {
		return err
	}
	for i, x := range s.sums {
		w[i] += x * d.scale
	}
	return nil
}

func (d *decomposed) byRow(s *scratch, w []float32, lo, hi int64) error {
	if err := d.sum(s, w, lo, hi); err != nil {
		return err
	}
	m, err := s.read(d.magnitude, lo, hi)
	if err != nil {
		return err
	}
	for i, m := range m {
		row := w[int64(i)*d.cols:][:d.cols]
		var squares float64
		for _, x := range row {
			squares += float64(x) * float64(x)
		}
		f := m / (float32(math.Sqrt(squares)) + epsilon)
		for j := range row {
			row[j] *= f
		}
	}
	return nil
}

// inputDecomposed needs the norms of all inputs before the first row.
type inputDecomposed struct {
	decomposed
	*mapping
	kernel  int64
	factors []float32 // magnitude over norm, by input; set by Prepare
}

var _ Preparer = (*inputDecomposed)(nil)

// Prepare implements Preparer.
func (d *inputDecomposed) Prepare(ctx context.Context, _ []byte, rows func(ctx context.Context, dst []byte, lo, hi int64) error) error {
	s := getScratch()
	defer s.release()
	inputs := d.decomposed.cols / d.kernel
	squares := make([]float64, inputs)
	width := d.decomposed.cols * int64(d.dtype.Size())
	err := d.each(ctx, 0, d.rows, func(lo, hi int64) error {
		s.bytes = grow(s.bytes, int((hi-lo)*width))
		if err := rows(ctx, s.bytes, lo, hi); err != nil {
			return err
		}
		s.delta = grow(s.delta, int((hi-lo)*d.decomposed.cols))
		kernel.Load(s.delta, s.bytes, d.dtype)
		if err := d.sum(s, s.delta, lo, hi); err != nil {
			return err
		}
		for i, x := range s.delta {
			squares[int64(i)%d.decomposed.cols/d.kernel] += float64(x) * float64(x)
		}
		return nil
	})
	if err != nil {
		return err
	}
	m, err := s.read(d.magnitude, 0, inputs)
	if err != nil {
		return err
	}
	d.factors = make([]float32, inputs)
	for i := range d.factors {
		d.factors[i] = m[i] / (float32(math.Sqrt(squares[i])) + epsilon)
	}
	return nil
}

func (d *inputDecomposed) byInput(s *scratch, w []float32, lo, hi int64) error {
	if err := d.sum(s, w, lo, hi); err != nil {
		return err
	}
	for i := range w {
		w[i] *= d.factors[int64(i)%d.decomposed.cols/d.kernel]
	}
	return nil
}
