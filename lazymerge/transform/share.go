package transform

import (
	"context"
	"fmt"
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// Share is the part of a low-rank delta that one matrix of the base holds: that of one
// expert of a stack, of some rows, or the transpose. For expert e of E the factors are
//
//	A[e·r+k, i]   of A [E·r, x]
//	B[o, k·E+e]   of B [y, E·r], or B[o, e·r+k] when Grouped
//
// (peft tuners/lora/layer.py:2534 @0.21.2, ParamWrapper.get_delta_weight), and the
// delta is scale·Σₖ B·A with o along the rows and i along the columns, or the other
// way round when Turned. A layer's LoRA is the case E = 1.
type Share struct {
	A, B            *safetensors.Tensor
	Scale           float64
	Layer           Kind
	Expert, Experts int64
	Grouped         bool
	Turned          bool
	Run             Run
	Across          bool // Run counts columns of the matrix, else rows
}

// Share is the layer's delta as a share, whose Run is to be set.
func (l LowRank) Share() Share {
	return Share{A: l.A, B: l.B, Scale: l.Scale, Layer: l.Layer, Experts: 1}
}

// Run places a part of a delta along one dimension of a matrix: index First+n of the
// delta is index At+n·Stride of the matrix, for n < Count. The matrix keeps its other
// values.
type Run struct{ At, Stride, First, Count int64 }

var _ Transform = Share{}

// Describe implements Transform.
func (s Share) Describe() Description {
	return Description{Type: "lora", Rank: int(s.rank()), Scaling: s.Scale}
}

func (s Share) rank() int64 {
	if len(s.A.Shape) == 0 || s.Experts <= 0 {
		return 0
	}
	return s.A.Shape[0] / s.Experts
}

// Tensors implements Transform.
func (s Share) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{s.A, s.B} }

// Bind implements Transform. p has two dimensions. Errors also: *ExpertsError.
func (s Share) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	if err := needFloats(s.A, s.B); err != nil {
		return nil, err
	}
	if err := s.check(p); err != nil {
		return nil, err
	}
	return &share{Share: s, param: p, dtype: dtype, rank: s.rank(), cols: p.Shape[1], passes: s.Layer.passes(r)}, nil
}

// check holds the factors against each other and against the matrix.
func (s Share) check(p Param) error {
	if len(s.A.Shape) != 2 || len(s.B.Shape) != 2 || s.B.Shape[1] != s.A.Shape[0] {
		return shapeError(p, s.B, []int64{product(s.B.Shape[:min(1, len(s.B.Shape))]), product(s.A.Shape[:min(1, len(s.A.Shape))])})
	}
	if s.Experts <= 0 || s.Expert < 0 || s.Expert >= s.Experts || s.A.Shape[0]%s.Experts != 0 {
		return &ExpertsError{Tensor: p.Name, Other: s.A.Name, Rows: s.A.Shape[0], Expert: s.Expert, Experts: s.Experts}
	}
	if len(p.Shape) != 2 {
		return shapeError(p, s.A, []int64{s.A.Shape[0], product(p.Shape)})
	}
	placed, whole := 0, 1 // the dimension that Run is along, and the other one
	if s.Across {
		placed, whole = 1, 0
	}
	sides := s.sides()
	if t, n := sides.at(whole); n != p.Shape[whole] {
		return shapeError(p, t, s.resized(t, p.Shape[whole]))
	}
	t, n := sides.at(placed)
	run := s.Run
	if run.Count < 0 || run.First < 0 || run.First+run.Count > n || run.At < 0 || run.Stride <= 0 ||
		run.Count > 0 && run.At+(run.Count-1)*run.Stride >= p.Shape[placed] {
		return shapeError(p, t, s.resized(t, p.Shape[placed]))
	}
	return nil
}

// side is a factor, and its size along a dimension of the matrix.
type side struct {
	tensor *safetensors.Tensor
	size   int64
}

type sides [2]side

func (s sides) at(dim int) (*safetensors.Tensor, int64) { return s[dim].tensor, s[dim].size }

// sides are the factors along rows and columns.
func (s Share) sides() sides {
	a, b := side{s.A, s.A.Shape[1]}, side{s.B, s.B.Shape[0]}
	if s.Turned {
		return sides{a, b}
	}
	return sides{b, a}
}

// resized is the shape of a factor with another size along the matrix.
func (s Share) resized(t *safetensors.Tensor, n int64) []int64 {
	if t == s.A {
		return []int64{s.A.Shape[0], n}
	}
	return []int64{n, s.B.Shape[1]}
}

type share struct {
	Share
	param      Param
	dtype      kernel.DType
	rank, cols int64
	passes     []pass
}

func (b *share) PackSize() int64 {
	if b.rank == 0 {
		return 0
	}
	return kernel.PackSize(int(b.rank), int(b.cols))
}

func (b *share) Pack(ctx context.Context, dst []byte) error {
	if b.rank == 0 {
		return nil
	}
	s := getScratch()
	defer s.release()
	p := kernel.NewPacker(dst, int(b.rank), int(b.cols))
	run := Run{Stride: 1, Count: b.cols}
	if b.Across {
		run = b.Run
		b.blank(s, p)
	}
	var err error
	if b.Turned {
		err = b.packB(ctx, s, p, run)
	} else {
		err = b.packA(ctx, s, p, run)
	}
	p.Finish()
	return err
}

// blank makes the columns zero that the delta does not reach.
func (b *share) blank(s *scratch, p *kernel.Packer) {
	s.wide = grow(s.wide, int(b.rank))
	clear(s.wide)
	for j := range b.cols {
		if n := j - b.Run.At; n < 0 || n%b.Run.Stride != 0 || n/b.Run.Stride >= b.Run.Count {
			p.Column(int(j), s.wide)
		}
	}
}

// packA packs columns of A's expert.
func (b *share) packA(ctx context.Context, s *scratch, p *kernel.Packer, run Run) error {
	for k := range b.rank {
		row := (b.Expert*b.rank + k) * b.A.Shape[1]
		for n := int64(0); n < run.Count; n += packChunk {
			if err := ctx.Err(); err != nil {
				return err
			}
			end := min(n+packChunk, run.Count)
			values, err := s.read(b.A, row+run.First+n, row+run.First+end)
			if err != nil {
				return err
			}
			if run.Stride == 1 {
				p.Row(int(k), int(run.At+n), values)
				continue
			}
			for i := range values {
				p.Row(int(k), int(run.At+(n+int64(i))*run.Stride), values[i:i+1])
			}
		}
	}
	return nil
}

// packB packs rows of B's expert as columns.
func (b *share) packB(ctx context.Context, s *scratch, p *kernel.Packer, run Run) error {
	step := max(packChunk/b.rank, 1)
	for n := int64(0); n < run.Count; n += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(n+step, run.Count)
		values, err := b.readB(s, run.First+n, run.First+end)
		if err != nil {
			return err
		}
		for i := n; i < end; i++ {
			p.Column(int(run.At+i*run.Stride), values[(i-n)*b.rank:(i-n+1)*b.rank])
		}
	}
	return nil
}

// readB widens the expert's columns of the rows [lo,hi) of B.
func (b *share) readB(s *scratch, lo, hi int64) ([]float32, error) {
	size, all := int64(b.B.DType.Bits()/8), b.B.Shape[1]
	raw, err := b.B.Slice(lo*all*size, hi*all*size)
	if err != nil {
		return nil, err
	}
	first, stride := b.Expert, b.Experts
	if b.Grouped {
		first, stride = b.Expert*b.rank, 1
	}
	n := (hi - lo) * b.rank
	s.bytes = grow(s.bytes, int(n*size))
	to := s.bytes
	for o := range hi - lo {
		from := raw[(o*all+first)*size:]
		for k := range b.rank {
			copy(to[:size], from[k*stride*size:])
			to = to[size:]
		}
	}
	s.wide = grow(s.wide, int(n))
	return s.wide, toFloats(s.wide, s.bytes[:n*size], b.B.DType)
}

// gather sets the coefficients of the rows [lo,hi) of the delta.
func (b *share) gather(s *scratch, lo, hi int64) error {
	s.coeffs.Reset(int(hi-lo), int(b.rank))
	if b.Turned {
		for k := range b.rank {
			at := (b.Expert*b.rank + k) * b.A.Shape[1]
			col, err := s.read(b.A, at+lo, at+hi)
			if err != nil {
				return err
			}
			s.coeffs.Column(int(k), col)
		}
		return nil
	}
	values, err := b.readB(s, lo, hi)
	if err != nil {
		return err
	}
	for i := range int(hi - lo) {
		s.coeffs.Row(i, values[i*int(b.rank):(i+1)*int(b.rank)])
	}
	return nil
}

func (b *share) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	run := b.Run
	if b.Across {
		run = Run{Stride: 1, Count: b.param.Shape[0]}
	}
	row := b.cols * int64(b.dtype.Size())
	if b.rank == 0 {
		copy(dst, src)
		return nil
	}
	// n counts the rows of the run; those with another row between them go one by one.
	first := max(0, (lo-run.At+run.Stride-1)/run.Stride)
	last := min(run.Count, (hi-run.At+run.Stride-1)/run.Stride)
	if run.Stride > 1 || run.At+first > lo || run.At+last < hi {
		copy(dst, src[:len(dst)])
		src = dst
	}
	s := getScratch()
	defer s.release()
	block := int64(1)
	if run.Stride == 1 {
		block = int64(kernel.BlockRows(int(b.rank), int(b.cols)))
	}
	for n := first; n < last; n += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(n+block, last)
		at := run.At + n*run.Stride
		bytes := (end - n) * row
		if err := b.addRows(s, dst[(at-lo)*row:][:bytes], src[(at-lo)*row:][:bytes], packed, run.First+n, at); err != nil {
			return err
		}
	}
	return nil
}

// addRows adds the delta's rows from first on to the matrix' rows from at on.
func (b *share) addRows(s *scratch, dst, src, packed []byte, first, at int64) error {
	count := int64(len(dst)) / (b.cols * int64(b.dtype.Size()))
	if err := b.gather(s, first, first+count); err != nil {
		return err
	}
	for _, p := range b.passes {
		s.args = kernel.Args{
			Dst: dst, Src: src, DType: b.dtype,
			A:        kernel.View(packed, int(b.rank), int(b.cols)),
			B:        &s.coeffs,
			Scale:    float32(b.Scale * p.times),
			Rounding: p.rounding,
		}
		if bad := kernel.AddLowRank(&s.args); bad >= 0 && !b.param.AllowNonFinite {
			return &OverflowError{Tensor: b.param.Name, DType: b.param.DType, Row: at + int64(bad)}
		}
		src = dst
	}
	return nil
}

// Largest bounds an element of the delta by the norms of the expert's own factors,
// which it reads: those of a whole stack are too large a bound. Infinite when they
// cannot be read.
func (s Share) Largest() float64 {
	b := &share{Share: s, rank: s.rank()}
	x := getScratch()
	defer x.release()
	var sums [2]float64
	for k := range b.rank {
		at := (s.Expert*b.rank + k) * s.A.Shape[1]
		values, err := x.read(s.A, at, at+s.A.Shape[1])
		if err != nil {
			return math.Inf(1)
		}
		sums[0] += squares(values)
	}
	const step = 1 << 10
	for o := int64(0); o < s.B.Shape[0]; o += step {
		values, err := b.readB(x, o, min(o+step, s.B.Shape[0]))
		if err != nil {
			return math.Inf(1)
		}
		sums[1] += squares(values)
	}
	return math.Abs(s.Scale) * math.Sqrt(sums[0]*sums[1])
}

func squares(values []float32) float64 {
	var sum float64
	for _, v := range values {
		sum += float64(v) * float64(v)
	}
	return sum
}

// ExpertsError says that a factor does not hold what its experts need: its rank is not
// a multiple of their number, or the expert is not among them.
type ExpertsError struct {
	Tensor  string // base parameter
	Other   string // adapter tensor
	Rows    int64  // of Other: the ranks of all experts
	Expert  int64
	Experts int64 // in the base
}

func (e *ExpertsError) Error() string {
	if e.Expert < 0 || e.Expert >= e.Experts {
		return fmt.Sprintf("%q is for expert %d, but %q has %d experts", e.Other, e.Expert, e.Tensor, e.Experts)
	}
	return fmt.Sprintf("%q has %d rows, which the %d experts of %q cannot share", e.Other, e.Rows, e.Experts, e.Tensor)
}

// Range implements Ranged: |Σ b·a| ≤ |b|·|a|.
func (s Share) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return math.Abs(s.Scale) * norm(s.A) * norm(s.B), 1
}
