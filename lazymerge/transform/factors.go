package transform

import (
	"context"
	"slices"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// factors are the two tensors of a low-rank delta, oriented for a parameter seen as
// rows×cols: delta = left·right.
type factors struct {
	rows, cols, rank int64
	left             factor // rows×rank, or the transpose
	right            factor // rank×cols, or the transpose
	transposed       bool
}

func (f *factors) packSize() int64 {
	if f.rank == 0 {
		return 0
	}
	return kernel.PackSize(int(f.rank), int(f.cols))
}

// packChunk is the number of elements widened at a time, so that packing keeps
// little memory and honours ctx.
const packChunk = 1 << 16

// pack packs the right factor; held is what a factor that is heldFactor reads.
func (f *factors) pack(ctx context.Context, dst []byte, held []float32) error {
	if f.rank == 0 {
		return nil
	}
	s := getScratch()
	defer s.release()
	s.held = held
	p := kernel.NewPacker(dst, int(f.rank), int(f.cols))
	var err error
	if f.transposed {
		err = f.packColumns(ctx, s, p)
	} else {
		err = f.packRows(ctx, s, p)
	}
	p.Finish()
	return err
}

func (f *factors) packRows(ctx context.Context, s *scratch, p *kernel.Packer) error {
	for k := range f.rank {
		for from := int64(0); from < f.cols; from += packChunk {
			if err := ctx.Err(); err != nil {
				return err
			}
			row, err := f.right.read(s, k*f.cols+from, k*f.cols+min(from+packChunk, f.cols))
			if err != nil {
				return err
			}
			p.Row(int(k), int(from), row)
		}
	}
	return nil
}

func (f *factors) packColumns(ctx context.Context, s *scratch, p *kernel.Packer) error {
	step := max(packChunk/f.rank, 1)
	for j := int64(0); j < f.cols; j += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(j+step, f.cols)
		cols, err := f.right.read(s, j*f.rank, end*f.rank)
		if err != nil {
			return err
		}
		for i := j; i < end; i++ {
			p.Column(int(i), cols[(i-j)*f.rank:(i-j+1)*f.rank])
		}
	}
	return nil
}

// gather sets the coefficients of the rows [lo,hi).
func (f *factors) gather(s *scratch, lo, hi int64) error {
	if f.transposed {
		s.coeffs.Reset(int(hi-lo), int(f.rank))
		for k := range f.rank {
			col, err := f.left.read(s, k*f.rows+lo, k*f.rows+hi)
			if err != nil {
				return err
			}
			s.coeffs.Column(int(k), col)
		}
		return nil
	}
	rows, err := f.left.read(s, lo*f.rank, hi*f.rank)
	if err != nil {
		return err
	}
	s.coeffs.Reset(int(hi-lo), int(f.rank))
	for i := range int(hi - lo) {
		s.coeffs.Row(i, rows[i*int(f.rank):(i+1)*int(f.rank)])
	}
	return nil
}

// block is the number of rows to do at a time.
func (f *factors) block() int64 {
	return int64(kernel.BlockRows(int(f.rank), int(f.cols)))
}

// orient finds how a and b make the delta of p.
func orient(p Param, k Kind, a, b *safetensors.Tensor) (factors, error) {
	rows, cols := flatten(p.Shape)
	ra, na, okA := matrix(a, k)
	nb, _, _ := matrix(b, k)
	f := factors{rows: rows, cols: cols, rank: ra, left: storedFactor{b}, right: storedFactor{a}}
	if err := pairFactors(k, a, b); err != nil {
		if err.Beside != "" {
			err.Want = []int64{outputs(p, k, na), ra}
		}
		return f, about(err, p)
	}
	straight := okA && na == cols && nb == rows && len(p.Shape) >= 2
	turned := okA && na == rows && nb == cols && len(p.Shape) == 2
	switch k {
	case Embedding:
		straight = false
	case Linear:
		if straight && turned {
			straight = !p.Conv1D
		}
	default:
		turned = false
	}
	switch {
	case straight && sameInner(p, k, a):
		return f, nil
	case turned:
		f.left, f.right, f.transposed = f.right, f.left, true
		return f, nil
	}
	return f, mismatch(p, k, a, b, ra)
}

// sameInner holds a convolution's kernel dimensions together: [r, in, 3, 1] and
// [out, in, 1, 3] have the same size but different meaning.
func sameInner(p Param, k Kind, a *safetensors.Tensor) bool {
	return k != Conv || len(a.Shape) == 2 || slices.Equal(a.Shape[1:], p.Shape[1:])
}

// mismatch names the factor that does not fit.
func mismatch(p Param, k Kind, a, b *safetensors.Tensor, rank int64) error {
	rows, cols := flatten(p.Shape)
	if len(p.Shape) < 2 {
		return shapeError(p, a, []int64{rank, cols})
	}
	if exchanged(p, k, a, b) {
		e := contradiction(a, b, []int64{rank, cols})
		e.Tensor, e.Base, e.Exchanged = p.Name, p.Shape, true
		return e
	}
	inner := p.Shape[1:]
	if k == Embedding || k == Linear && p.Conv1D {
		rows, cols = cols, rows
		inner = []int64{cols}
	}
	if _, n, ok := matrix(a, k); !ok || n != cols || k == Conv && !sameInner(p, k, a) {
		e := shapeError(p, a, append([]int64{rank}, inner...))
		e.Groups = depthwise(p, k, a)
		return e
	}
	return shapeError(p, b, []int64{rows, rank})
}

func shapeError(p Param, t *safetensors.Tensor, want []int64) *ShapeError {
	return &ShapeError{Tensor: p.Name, Base: p.Shape, Other: t.Name, Want: want, Got: t.Shape}
}

// exchanged tells factors of which each is in the other's place: on a square weight their
// inner sizes agree all the same.
func exchanged(p Param, k Kind, a, b *safetensors.Tensor) bool {
	if k == Embedding || len(p.Shape) != 2 || len(a.Shape) != 2 || len(b.Shape) != 2 {
		return false
	}
	return a.Shape[0] == p.Shape[0] && b.Shape[1] == p.Shape[1] && a.Shape[1] == b.Shape[0]
}

// outputs is the size that B's first dimension must have; n is A's input size.
func outputs(p Param, k Kind, n int64) int64 {
	rows, cols := flatten(p.Shape)
	if k == Embedding || k == Linear && (p.Conv1D || n != cols) && n == rows {
		return cols
	}
	return rows
}

// flatten sees a shape as rows×cols.
func flatten(shape []int64) (rows, cols int64) {
	if len(shape) == 0 {
		return 1, 1
	}
	return shape[0], product(shape[1:])
}

// matrix sees a factor as a matrix. Only a convolution's may have more dimensions,
// or as many ones at the end as a 1×1 kernel gives.
func matrix(t *safetensors.Tensor, k Kind) (n, m int64, ok bool) {
	if len(t.Shape) < 2 {
		return 0, 0, false
	}
	n, m = flatten(t.Shape)
	return n, m, k == Conv || ones(t.Shape, 2)
}

func ones(shape []int64, from int) bool {
	return len(shape) <= from || product(shape[from:]) == 1
}

func product(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}
