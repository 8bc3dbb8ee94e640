package transform

import (
	"context"
	"math"

	"gonum.org/v1/gonum/dsp/fourier"

	"lorafs/lazymerge/transform/torchrand"
	"lorafs/safetensors"
)

// FourierFT adds Scale·Re(ifft2(D)), where D[out, in] is zero but for Spectrum, at the
// places that Seed draws (peft tuners/fourierft/layer.py:94 @0.21.2).
type FourierFT struct {
	Spectrum *safetensors.Tensor // [n]
	Scale    float64
	Seed     int64
	Class    Class
}

var _ Transform = FourierFT{}

// Describe implements Transform.
func (f FourierFT) Describe() Description {
	return Description{Type: "fourierft", Rank: int(product(f.Spectrum.Shape)), Scaling: f.Scale}
}

// Tensors implements Transform.
func (f FourierFT) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{f.Spectrum} }

// Range implements Ranged: an element is at most the mean of the n values, all but zeros
// in a matrix of that many elements.
func (f FourierFT) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	n := float64(max(product(f.Spectrum.Shape), 1))
	return abs(f.Scale) * norm(f.Spectrum) / math.Sqrt(n), 1
}

// Bind implements Transform.
func (f FourierFT) Bind(p Param, r Rounding) (Bound, error) {
	if err := checkSpectrum(p, f.Spectrum); err != nil {
		return nil, err
	}
	return newDense(p, f.Class, r, f.fill)
}

// checkSpectrum holds a list of values against the elements of a linear layer.
func checkSpectrum(p Param, t *safetensors.Tensor) error {
	rows, cols := flatten(p.Shape)
	if len(p.Shape) != 2 || len(t.Shape) != 1 || t.Shape[0] > rows*cols {
		return shapeError(p, t, []int64{-1})
	}
	return needFloats(t)
}

func (f FourierFT) fill(ctx context.Context, b *blocks, delta []float32, _ rowReader) error {
	points, err := drawPoints(ctx, b.param, f.Spectrum, f.Seed)
	if err != nil {
		return err
	}
	for _, x := range points {
		delta[x.row*b.cols+x.col] = x.value
	}
	if err := inverseFourier(ctx, delta, int(b.rows), int(b.cols)); err != nil {
		return err
	}
	scale := float32(f.Scale)
	for i := range delta {
		delta[i] *= scale
	}
	return nil
}

// point is an element of a sparse matrix that lies as a parameter does.
type point struct {
	row, col int64
	value    float32
}

// drawPoints spreads values over the places that a seed draws from those of a matrix
// [out, in].
func drawPoints(ctx context.Context, p Param, values *safetensors.Tensor, seed int64) ([]point, error) {
	rows, cols := flatten(p.Shape)
	in := cols
	if p.Conv1D {
		in = rows
	}
	n := product(values.Shape)
	places, err := torchrand.New(seed).Permutation(ctx, rows*cols, n)
	if err != nil {
		return nil, err
	}
	s := getScratch()
	defer s.release()
	v, err := s.read(values, 0, n)
	if err != nil {
		return nil, err
	}
	points := make([]point, n)
	for i, at := range places {
		points[i] = point{at / in, at % in, v[i]}
		if p.Conv1D {
			points[i].row, points[i].col = points[i].col, points[i].row
		}
	}
	return points, nil
}

// inverseFourier puts Re(ifft2(x)) in the place of x, rows×cols. The real part is the
// transform of the part of x that is symmetric to the origin, whose columns l and -l
// are conjugate on the way: two real columns hold them, so that no memory is needed
// but for one column. Intermediate values are rounded to fp32.
func inverseFourier(ctx context.Context, x []float32, rows, cols int) error {
	if len(x) == 0 {
		return nil
	}
	columns := fourier.NewCmplxFFT(rows)
	column := make([]complex128, rows)
	for l := 0; 2*l <= cols; l++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		mirror := (cols - l) % cols
		if !takeSymmetric(column, x, cols, l, mirror) {
			continue
		}
		columns.Sequence(column, column)
		for k, z := range column {
			x[k*cols+mirror] = float32(imag(z))
			x[k*cols+l] = float32(real(z)) // of a column that is its own mirror all there is
		}
	}
	return inverseRows(ctx, x, rows, cols)
}

// takeSymmetric sets dst to column l of the symmetric part and tells whether there is
// anything.
func takeSymmetric(dst []complex128, x []float32, cols, l, mirror int) bool {
	found := false
	rows := len(dst)
	for k := range dst {
		sum := float64(x[k*cols+l]) + float64(x[(rows-k)%rows*cols+mirror])
		dst[k] = complex(sum/2, 0)
		found = found || sum != 0
	}
	return found
}

// inverseRows transforms rows that hold the real parts of their spectrum at l and the
// imaginary ones at cols-l.
func inverseRows(ctx context.Context, x []float32, rows, cols int) error {
	fft := fourier.NewFFT(cols)
	spectrum := make([]complex128, cols/2+1)
	row := make([]float64, cols)
	for k := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		values := x[k*cols:][:cols]
		for l := range spectrum {
			spectrum[l] = complex(float64(values[l]), 0)
			if mirror := (cols - l) % cols; mirror != l {
				spectrum[l] = complex(float64(values[l]), float64(values[mirror]))
			}
		}
		fft.Sequence(row, spectrum)
		for i, y := range row {
			values[i] = float32(y / float64(rows) / float64(cols))
		}
	}
	return nil
}
