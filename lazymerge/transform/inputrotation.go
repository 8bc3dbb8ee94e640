package transform

import (
	"context"
	"math"

	"lorafs/safetensors"
)

// InputRotation multiplies the inputs of a layer, for a convolution those of all
// places of its kernel, with orthogonal blocks: W' = rd((W·Rᵀ)∘s), W·R for an
// embedding. R is made of skew-symmetric Q.
//
// Blocks [n, b·(b−1)/2] are the elements above the diagonals of n of them (peft
// tuners/oft/layer.py:563 and 1027 @0.21.2). Blocks [n, b, b] are matrices B with
// Q = (B−Bᵀ)/2 (PEFT's OFT before 0.16), and [m, n, b, b] are m such layers, one after
// the other, where block k of layer i takes inputs that are 2^i·b/2 apart (peft
// tuners/boft/layer.py:493 @0.21.2).
type InputRotation struct {
	Type      string // for reports
	Blocks    *safetensors.Tensor
	Rescale   *safetensors.Tensor // s: nil, or one element for each output
	Share     bool                // the one block is for all stretches of inputs
	Embedding bool
	Series    Series
	// Constraint bounds the Frobenius norm of a block of which there are n by
	// Constraint/√n (PEFT's coft); 0 is no bound. ByOutputs: it is multiplied with
	// the square of the outputs per block.
	Constraint float64
	ByOutputs  bool
	Note       string
}

// Series is how R is made of Q: with no Terms as (I−Q)·(I+Q)⁻¹. Else it is the start of
// a series, of the opposite sign, I + 2Q + 2Q² + … up to the power Terms−1. The last
// one counts once, from the third power on, unless Twice (PEFT before 0.18); three
// terms then end with the third power.
type Series struct {
	Terms int
	Twice bool
}

var _ Transform = InputRotation{}

// Describe implements Transform.
func (o InputRotation) Describe() Description {
	return Description{Type: o.Type, Rank: int(o.size()), Note: o.Note}
}

// Tensors implements Transform.
func (o InputRotation) Tensors() []*safetensors.Tensor {
	if o.Rescale == nil {
		return []*safetensors.Tensor{o.Blocks}
	}
	return []*safetensors.Tensor{o.Blocks, o.Rescale}
}

// size is that of a block, 0 when the shape is no possible one.
func (o InputRotation) size() int64 {
	s := o.Blocks.Shape
	switch len(s) {
	case 2:
		b := int64(math.Round((1 + math.Sqrt(1+8*float64(s[1]))) / 2))
		if b*(b-1)/2 == s[1] {
			return b
		}
	case 3, 4:
		if n := s[len(s)-1]; n == s[len(s)-2] {
			return n
		}
	}
	return 0
}

func (o InputRotation) stages() int64 {
	if len(o.Blocks.Shape) == 4 {
		return o.Blocks.Shape[0]
	}
	return 1
}

// count is the number of blocks of a stage.
func (o InputRotation) count() int64 {
	switch s := o.Blocks.Shape; len(s) {
	case 2, 3:
		return s[0]
	case 4:
		return s[1]
	}
	return 0
}

// Range implements Ranged. An orthogonal block of b inputs makes none larger than √b
// times the largest, a series of it at most as much larger as its terms add.
func (o InputRotation) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	q := norm(o.Blocks) * math.Sqrt2
	if q == 0 && o.Rescale == nil {
		return 0, 1
	}
	one := 1.0
	for i := range o.Series.Terms {
		one += 2 * math.Pow(q, float64(i+1))
	}
	times = math.Pow(one*math.Sqrt(float64(o.size())), float64(o.stages()))
	if o.Rescale != nil {
		times *= norm(o.Rescale)
	}
	return 0, math.Nextafter(times, math.Inf(1))
}

// Bind implements Transform.
func (o InputRotation) Bind(p Param, _ Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	if err := needFloats(o.Tensors()...); err != nil {
		return nil, err
	}
	b := &inputRotation{InputRotation: o, blocks: newBlocks(p, dtype), size: o.size(), count: o.count()}
	if err := b.checkShapes(p); err != nil {
		return nil, err
	}
	return b, nil
}

type inputRotation struct {
	InputRotation
	blocks
	size, count int64
}

func (o *inputRotation) checkShapes(p Param) error {
	n := max(o.size, 1)
	want := []int64{o.cols / n, n * (n - 1) / 2}
	if s := o.Blocks.Shape; len(s) > 2 {
		want = []int64{o.cols / n, n, n}
	}
	covered := o.size * o.count
	if o.Share {
		want[0] = 1
		covered = o.cols / n * n
	}
	// A butterfly's last stage pairs inputs that are a power of two of half blocks apart.
	apart := o.size
	for i := int64(1); i < o.stages() && apart <= o.cols; i++ {
		apart *= 2
	}
	switch {
	case len(p.Shape) < 2, o.size == 0, covered != o.cols, o.Share && o.count != 1,
		apart > o.size && (o.cols%apart != 0 || o.size%2 != 0):
		return shapeError(p, o.Blocks, want)
	case o.Rescale != nil && product(o.Rescale.Shape) != o.rows:
		return shapeError(p, o.Rescale, []int64{o.rows})
	}
	return nil
}

// PackSize implements Bound: what rows are multiplied with, as fp32, stage by stage.
func (o *inputRotation) PackSize() int64 { return 4 * o.stages() * o.count * o.size * o.size }

// Pack implements Bound.
func (o *inputRotation) Pack(ctx context.Context, dst []byte) error {
	s := getScratch()
	defer s.release()
	n := int(o.size)
	q, r := make([]float64, n*n), make([]float64, n*n)
	packed := packedFloats(dst)
	for i := range o.stages() * o.count {
		if err := o.skew(ctx, s, q, i); err != nil {
			return err
		}
		if err := o.Series.rotation(ctx, r, q, n); err != nil {
			return err
		}
		block := packed[int(i)*n*n:][:n*n]
		for j, x := range r {
			if !o.Embedding {
				j = j%n*n + j/n
			}
			block[j] = float32(x)
		}
	}
	return nil
}

// skew sets q to the skew-symmetric matrix of a block, made smaller where it is to be.
func (o *inputRotation) skew(ctx context.Context, s *scratch, q []float64, block int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := o.size
	each := n * n
	if len(o.Blocks.Shape) == 2 {
		each = o.Blocks.Shape[1]
	}
	v, err := s.read(o.Blocks, block*each, (block+1)*each)
	if err != nil {
		return err
	}
	shrink := o.shrink(v)
	at := int64(0)
	for i := range n {
		q[i*n+i] = 0
		for j := i + 1; j < n; j++ {
			x := float64(v[at])
			if len(o.Blocks.Shape) > 2 {
				x = float64(v[i*n+j]-v[j*n+i]) / 2
			} else {
				at++
			}
			q[i*n+j], q[j*n+i] = x*shrink, -x*shrink
		}
	}
	return nil
}

// shrink is what a block is multiplied with. PEFT holds the norm of Q against the
// bound where blocks are vectors, else that of B.
func (o *inputRotation) shrink(v []float32) float64 {
	if o.Constraint == 0 {
		return 1
	}
	limit := o.Constraint / math.Sqrt(float64(o.count))
	if o.ByOutputs {
		per := math.Ceil(float64(o.rows) / float64(o.cols/o.size))
		limit *= per * per
	}
	var squares float64
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	if len(o.Blocks.Shape) == 2 {
		squares *= 2
	}
	if norm := math.Sqrt(squares); norm > limit {
		return limit / norm
	}
	return 1
}

// rotation sets r to that of the skew-symmetric n×n matrix q, which it overwrites.
func (t Series) rotation(ctx context.Context, r, q []float64, n int) error {
	if t.Terms == 0 {
		for i := range q {
			q[i] = -q[i]
		}
		return cayley(ctx, r, q, n)
	}
	clear(r)
	for i := range n {
		r[i*n+i] = 1
	}
	last := t.Terms - 1
	if !t.Twice && t.Terms == 3 {
		last = 3
	}
	power, next := append([]float64(nil), q...), make([]float64, n*n)
	for k := 1; k <= last; k++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if k > 1 {
			multiply64(next, power, q, n)
			power, next = next, power
		}
		times := 2.0
		if k == last && k > 2 && !t.Twice {
			times = 1
		}
		for i, x := range power {
			r[i] += times * x
		}
	}
	return nil
}

// multiply64 sets dst to the product of two n×n matrices.
func multiply64(dst, left, right []float64, n int) {
	clear(dst)
	for i := range n {
		for k, x := range left[i*n : (i+1)*n] {
			for j, y := range right[k*n : (k+1)*n] {
				dst[i*n+j] += x * y
			}
		}
	}
}

// Rows implements Bound.
func (o *inputRotation) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	blocks := packedFloats(packed)
	return o.alter(ctx, dst, src, lo, hi, 1, func(s *scratch, w []float32, from, to int64) error {
		return o.turn(s, w, blocks, from, to)
	})
}

// turn multiplies the rows [lo,hi) in w with the blocks of each stage.
func (o *inputRotation) turn(s *scratch, w, blocks []float32, lo, hi int64) error {
	n, cols := int(o.size), int(o.cols)
	s.left, s.right = grow(s.left, n), grow(s.right, n)
	for stage := range int(o.stages()) {
		for at := 0; at < cols; at += n {
			block := stage * int(o.count)
			if !o.Share {
				block += at / n
			}
			r := blocks[block*n*n:][:n*n]
			for row := 0; row < len(w); row += cols {
				x := w[row : row+cols]
				if stage == 0 { // neighbours
					copy(s.left, x[at:])
					multiply(x[at:at+n], s.left, r, n, n)
					continue
				}
				for i := range n {
					s.left[i] = x[o.input(stage, at+i)]
				}
				multiply(s.right, s.left, r, n, n)
				for i, y := range s.right {
					x[o.input(stage, at+i)] = y
				}
			}
		}
	}
	if o.Rescale == nil {
		return nil
	}
	by, err := s.read(o.Rescale, lo, hi)
	if err != nil {
		return err
	}
	for i, f := range by {
		for j, x := range w[i*cols:][:cols] {
			w[i*cols+j] = x * f
		}
	}
	return nil
}

// input is the input that has the place at among the blocks of a stage. Stage i of a
// butterfly takes every 2^i-th half block of 2^(i+1) in turn.
func (o *inputRotation) input(stage, at int) int {
	if stage == 0 {
		return at
	}
	half := int(o.size) / 2
	units := 2 << stage
	first, unit := at/(half*units)*units, at/half%units
	return (first+unit/2+unit%2*units/2)*half + at%half
}
