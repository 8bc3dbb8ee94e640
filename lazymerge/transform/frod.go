package transform

import (
	"context"
	"errors"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// FRoD puts U·(S + diag(L))·Vᵀ in a weight's place, where the columns of U are those of
// W·V⁻ᵀ, made as long as one, and S is sparse. All of it happens in the base's dtype
// (peft tuners/frod/layer.py:231 @0.21.2).
type FRoD struct {
	L, Values        *safetensors.Tensor // [in], [n]
	V, Indices, Size *safetensors.Tensor // [in, in], [2, n], [2] (S's), of all modules of a kind
}

var _ Transform = FRoD{}

// Describe implements Transform.
func (f FRoD) Describe() Description {
	return Description{Type: "frod", Note: "PEFT computes in the base's dtype, with sums whose order is the machine's"}
}

// Tensors implements Transform.
func (f FRoD) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{f.L, f.Values, f.V, f.Indices, f.Size}
}

// Range implements Ranged: U has columns of length one.
func (f FRoD) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return (norm(f.L) + norm(f.Values)) * norm(f.V), 2
}

// Bind implements Transform.
func (f FRoD) Bind(p Param, r Rounding) (Bound, error) {
	if err := needFloats(f.L, f.Values, f.V); err != nil {
		return nil, err
	}
	if len(p.Shape) != 2 {
		return nil, shapeError(p, f.L, []int64{-1})
	}
	_, in := flatten(p.Shape)
	if p.Conv1D {
		in = p.Shape[0]
	}
	switch n := product(f.Values.Shape); {
	case product(f.L.Shape) != in:
		return nil, shapeError(p, f.L, []int64{in})
	case len(f.V.Shape) != 2 || f.V.Shape[0] != in || f.V.Shape[1] != in:
		return nil, shapeError(p, f.V, []int64{in, in})
	case len(f.Indices.Shape) != 2 || f.Indices.Shape[0] != 2 || f.Indices.Shape[1] != n:
		return nil, shapeError(p, f.Indices, []int64{2, n})
	case product(f.Size.Shape) != 2:
		return nil, shapeError(p, f.Size, []int64{2})
	case f.Indices.DType != safetensors.I64:
		return nil, &DTypeError{Tensor: f.Indices.Name, DType: f.Indices.DType}
	}
	return newDense(p, Double, r, f.fill)
}

func (f FRoD) fill(ctx context.Context, b *blocks, delta []float32, base rowReader) error {
	w := weights{blocks: *b, base: base, turned: b.param.Conv1D}
	out, in := w.size()
	v, err := wideMatrix(f.V)
	if err != nil {
		return err
	}
	roundTo(v.Data, b.dtype)
	u, err := w.solve(ctx, v)
	if err != nil {
		return err
	}
	unitColumns(u)
	roundTo(u.Data, b.dtype)
	m, err := f.middle(in, b.dtype)
	if err != nil {
		return err
	}
	half, whole := general(out, in), general(out, in)
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, u, m, 0, half)
	roundTo(half.Data, b.dtype)
	if err := ctx.Err(); err != nil {
		return err
	}
	blas64.Gemm(blas.NoTrans, blas.Trans, 1, half, v, 0, whole)
	roundTo(whole.Data, b.dtype)
	return w.walk(ctx, base, func(block []float32, lo, hi int64) error {
		for i, x := range block {
			at := int(lo)*int(w.cols) + i
			row, col := at/int(w.cols), at%int(w.cols)
			if w.turned {
				row, col = col, row
			}
			delta[at] = float32(whole.Data[row*in+col] - float64(x))
		}
		return nil
	})
}

// solve is W·V⁻ᵀ, [out, in].
func (w *weights) solve(ctx context.Context, v blas64.General) (blas64.General, error) {
	out, in := w.size()
	x := general(in, out) // Wᵀ, then V⁻¹·Wᵀ
	err := w.walk(ctx, w.base, func(block []float32, lo, hi int64) error {
		for i, y := range block {
			row, col := int(lo)+i/int(w.cols), i%int(w.cols)
			if w.turned {
				row, col = col, row
			}
			x.Data[col*x.Stride+row] = float64(y)
		}
		return nil
	})
	if err != nil || in == 0 || out == 0 {
		return flip(x), err
	}
	if sum := floats.Sum(v.Data) + floats.Sum(x.Data); sum-sum != 0 {
		return x, errNotFinite
	}
	lu := append([]float64(nil), v.Data...)
	pivots := make([]int, in)
	if !lapackImpl.Dgetrf(in, in, lu, v.Stride, pivots) {
		return x, errSingular
	}
	if err := ctx.Err(); err != nil {
		return x, err
	}
	lapackImpl.Dgetrs(blas.NoTrans, in, out, lu, v.Stride, pivots, x.Data, x.Stride)
	return flip(x), nil
}

var errSingular = errors.New("transform: the projection cannot be inverted")

// unitColumns makes columns as long as one, or zero.
func unitColumns(m blas64.General) {
	for j := range m.Cols {
		sum := 0.0
		for i := range m.Rows {
			sum += m.Data[i*m.Stride+j] * m.Data[i*m.Stride+j]
		}
		length := math.Sqrt(sum)
		for i := range m.Rows {
			if x := &m.Data[i*m.Stride+j]; length > 1e-12 {
				*x /= length
			} else {
				*x = 0
			}
		}
	}
}

// middle is S + diag(L), [in, in].
func (f FRoD) middle(in int, d kernel.DType) (blas64.General, error) {
	m := general(in, in)
	l, err := readAll(f.L)
	if err != nil {
		return m, err
	}
	values, err := readAll(f.Values)
	if err != nil {
		return m, err
	}
	raw, err := f.Indices.Slice(0, int64(16*len(values)))
	if err != nil {
		return m, err
	}
	places := make([]int, 2*len(values))
	for i := range places {
		x := int64(0)
		for k := range 8 {
			x |= int64(raw[8*i+k]) << (8 * k)
		}
		if x < 0 || x >= int64(in) {
			return m, &IndexError{Tensor: f.Indices.Name, Index: x, Rows: int64(in)}
		}
		places[i] = int(x)
	}
	n := len(values)
	for i, x := range values {
		m.Data[places[i]*in+places[n+i]] += rounded(x, d)
	}
	for i, x := range l {
		m.Data[i*in+i] += rounded(x, d)
	}
	roundTo(m.Data, d)
	return m, nil
}

func rounded(x float32, d kernel.DType) float64 {
	one := []float64{float64(x)}
	roundTo(one, d)
	return one[0]
}
