package transform

import (
	"context"
	"math"
	"unsafe"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// Addend tells whether a Bound can be a term of a Total.
func Addend(b Bound) bool {
	return isDelta(b) || NeedsBase(b)
}

// NeedsBase tells whether a Bound looks at the unmerged weights, even where others have
// changed them before: the norm of DoRA is that of W + Δ alone.
func NeedsBase(b Bound) bool {
	_, ok := b.(stepper)
	return ok
}

// Total applies several transforms to one parameter, in order. The Bound of each is an
// Addend.
//
// Rounding Once: the deltas are added in fp32 and the sum to W, with one rounding.
// Low-rank deltas that follow each other become one: A's rows below, B's columns beside
// each other, as PEFT's combination "cat". Where the scales differ by powers of two the
// first is the scale of all and A takes the rest, which is exact; else A is multiplied
// with the scale in fp32, as by PEFT.
//
// The others: as PEFT merges one adapter after another, each with its own rounding.
type Total struct{ Terms []Transform }

var _ Transform = Total{}

// Describe implements Transform.
func (x Total) Describe() Description { return Description{Type: "sum"} }

// Tensors implements Transform.
func (x Total) Tensors() []*safetensors.Tensor {
	var all []*safetensors.Tensor
	for _, t := range x.Terms {
		all = append(all, t.Tensors()...)
	}
	return all
}

// Bind implements Transform.
func (x Total) Bind(p Param, r Rounding) (Bound, error) {
	s := &sum{steps: r != Once}
	var run []*lowRank // low-rank deltas that follow each other
	flush := func() {
		for _, l := range joined(run) {
			s.terms = append(s.terms, sumTerm{Bound: l})
		}
		run = nil
	}
	for _, t := range x.Terms {
		b, err := t.Bind(p, r)
		if err != nil {
			return nil, err
		}
		l, low := b.(*lowRank)
		switch {
		case low && l.rank == 0:
		case low && !s.steps && !l.beside:
			run = append(run, l)
		default:
			flush()
			s.terms = append(s.terms, sumTerm{Bound: b})
		}
	}
	flush()
	switch len(s.terms) {
	case 0: // ranks of zero
		return x.Terms[0].Bind(p, r)
	case 1:
		return s.terms[0].Bound, nil
	}
	return s.bind(p)
}

// joined makes one delta of those that lie alike.
func joined(run []*lowRank) (out []*lowRank) {
	for _, turned := range []bool{false, true} {
		var alike []*lowRank
		for _, l := range run {
			if l.transposed == turned {
				alike = append(alike, l)
			}
		}
		if len(alike) > 0 {
			out = append(out, join(alike))
		}
	}
	return out
}

// join is the sum of low-rank deltas as one of all their ranks.
func join(all []*lowRank) *lowRank {
	if len(all) == 1 {
		return all[0]
	}
	l := *all[0]
	first := l.scale * l.passes[0].times
	exact := true
	for _, m := range all {
		mantissa, exponent := math.Frexp(m.scale * m.passes[0].times / first)
		exact = exact && math.Abs(mantissa) == 0.5 && max(exponent, -exponent) < 16
	}
	l.scale, l.passes = 1, once
	if exact {
		l.scale = first
	}
	below, beside := make(stacked, len(all)), make(sideBySide, len(all))
	l.rank = 0
	for i, m := range all {
		by := m.scale * m.passes[0].times / l.scale
		below[i] = stackedFactor{m.right, m.rank, m.cols, float32(by)}
		beside[i] = besideFactor{m.left, m.rank}
		if l.transposed {
			below[i] = stackedFactor{m.left, m.rank, m.rows, float32(by)}
			beside[i] = besideFactor{m.right, m.rank}
		}
		l.rank += m.rank
	}
	l.left, l.right = beside, below
	if l.transposed {
		l.left, l.right = below, beside
	}
	return &l
}

// stacked is factors of one width below each other.
type stacked []stackedFactor

type stackedFactor struct {
	factor
	rows, cols int64
	by         float32
}

func (f stacked) read(s *scratch, lo, hi int64) ([]float32, error) {
	cols := max(f[0].cols, 1)
	out := grow(s.turn, int(hi-lo))
	s.turn = out
	for at := lo; at < hi; {
		row, first := at/cols, int64(0)
		i := 0
		for ; row >= first+f[i].rows; i++ {
			first += f[i].rows
		}
		end := min(hi, (first+f[i].rows)*cols)
		part, err := f[i].read(s, at-first*cols, end-first*cols)
		if err != nil {
			return nil, err
		}
		for j, x := range part {
			out[at-lo+int64(j)] = x * f[i].by
		}
		at = end
	}
	return out, nil
}

// sideBySide is factors of one height beside each other. Whole rows are read.
type sideBySide []besideFactor

type besideFactor struct {
	factor
	cols int64
}

func (f sideBySide) read(s *scratch, lo, hi int64) ([]float32, error) {
	var width int64
	for _, m := range f {
		width += m.cols
	}
	out := grow(s.turn, int(hi-lo))
	s.turn = out
	from, to := lo/width, hi/width
	var at int64
	for _, m := range f {
		part, err := m.read(s, from*m.cols, to*m.cols)
		if err != nil {
			return nil, err
		}
		for i := range to - from {
			copy(out[i*width+at:][:m.cols], part[i*m.cols:])
		}
		at += m.cols
	}
	return out, nil
}

// sum is a Total of more than one term.
type sum struct {
	blocks
	steps bool
	terms []sumTerm
	size  int64 // of all packed factors
}

type sumTerm struct {
	Bound
	from, size int64 // of its packed bytes
}

func (t sumTerm) packed(all []byte) []byte {
	if t.size == 0 {
		return nil
	}
	return all[t.from : t.from+t.size]
}

// isDelta tells whether a Bound adds what does not depend on the rows that it gets.
func isDelta(b Bound) bool {
	switch b.(type) {
	case *lowRank, *share, *addition, *dense, *addBias:
		return true
	}
	return false
}

// inF32 makes a delta one for rows of fp32.
func inF32(b Bound) {
	switch x := b.(type) {
	case *lowRank:
		x.dtype, x.param.AllowNonFinite = kernel.F32, true
	case *share:
		x.dtype, x.param.AllowNonFinite = kernel.F32, true
	case *addition:
		x.dtype, x.param.AllowNonFinite = kernel.F32, true
	case *dense:
		x.dtype, x.param.AllowNonFinite = kernel.F32, true
	case *addBias:
		x.dtype, x.param.AllowNonFinite = kernel.F32, true
	}
}

// stepper is a Bound of DoRA. step takes in values what was added to the base's rows
// [lo,hi), which are in src, and leaves there what they become.
type stepper interface {
	step(ctx context.Context, values []float32, src, packed []byte, lo, hi int64) error
}

func (d *rowDoRA) step(ctx context.Context, values []float32, src, packed []byte, lo, hi int64) error {
	s := getScratch()
	defer s.release()
	return d.sums(ctx, s, src, packed, lo, hi, func(at int64, n []float32) error {
		m, err := s.read(d.magnitude, at, at+int64(len(n))/max(d.cols, 1))
		if err != nil {
			return err
		}
		for i := range m {
			row := n[int64(i)*d.cols:][:d.cols]
			factor := m[i] / float32(math.Sqrt(kernel.Squares(&s.squares, row)))
			out := values[(at-lo+int64(i))*d.cols:][:d.cols]
			for j, x := range row {
				out[j] = factor * (x + out[j])
			}
		}
		return nil
	})
}

func (d *columnDoRA) step(ctx context.Context, values []float32, src, packed []byte, lo, hi int64) error {
	s := getScratch()
	defer s.release()
	return d.sums(ctx, s, src, packed, lo, hi, func(at int64, n []float32) error {
		out := values[(at-lo)*d.cols:]
		for i, x := range n {
			out[i] = d.factor[int64(i)%d.cols] * (x + out[i])
		}
		return nil
	})
}

func (s *sum) bind(p Param) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	s.blocks = newBlocks(p, dtype)
	var packs, prepares bool
	for i := range s.terms {
		t := &s.terms[i]
		if !Addend(t.Bound) {
			return nil, &SumError{Tensor: p.Name}
		}
		if !s.steps {
			inF32(t.Bound)
		}
		t.from, t.size = s.size, t.PackSize()
		s.size += (t.size + 63) / 64 * 64
		_, from := t.Bound.(FromBase)
		_, prepare := t.Bound.(Preparer)
		packs, prepares = packs || from, prepares || prepare
	}
	switch {
	case packs && prepares:
		return &sumOfAll{sumFromBase{s}, sumPreparer{s}}, nil
	case packs:
		return sumFromBase{s}, nil
	case prepares:
		return sumPreparer{s}, nil
	}
	return s, nil
}

func (s *sum) PackSize() int64 { return s.size }

func (s *sum) Pack(ctx context.Context, dst []byte) error { return s.packFrom(ctx, dst, nil) }

func (s *sum) packFrom(ctx context.Context, dst []byte, base rowReader) error {
	for _, t := range s.terms {
		var err error
		switch from, ok := t.Bound.(FromBase); {
		case ok && s.steps:
			err = from.PackFrom(ctx, t.packed(dst), base)
		case ok:
			err = from.PackFrom(ctx, t.packed(dst), s.widened(base))
		case t.size > 0:
			err = t.Pack(ctx, t.packed(dst))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// widened reads the base's rows in fp32.
func (s *sum) widened(base rowReader) rowReader {
	return func(ctx context.Context, dst []byte, lo, hi int64) error {
		x := getScratch()
		defer x.release()
		n := int((hi - lo) * s.cols)
		x.bytes = grow(x.bytes, n*s.dtype.Size())
		if err := base(ctx, x.bytes, lo, hi); err != nil {
			return err
		}
		kernel.Load(packedFloats(dst)[:n], x.bytes, s.dtype)
		return nil
	}
}

func (s *sum) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	x := getScratch()
	defer x.release()
	return s.each(ctx, lo, hi, func(from, to int64) error {
		part := s.bytes(lo, from, to)
		n := int((to - from) * s.cols)
		x.delta, x.wide = grow(x.delta, n), grow(x.wide, n)
		if s.steps {
			return s.stepRows(ctx, x, dst[part.lo:part.hi], src[part.lo:part.hi], packed, from, to)
		}
		return s.sumRows(ctx, x, dst[part.lo:part.hi], src[part.lo:part.hi], packed, from, to)
	})
}

// sumRows adds what x.delta collects.
func (s *sum) sumRows(ctx context.Context, x *scratch, dst, base, packed []byte, from, to int64) error {
	clear(x.delta)
	for _, t := range s.terms {
		d, ok := t.Bound.(stepper)
		if !ok {
			b := asBytes(x.delta)
			if err := t.Rows(ctx, b, b, t.packed(packed), from, to); err != nil {
				return err
			}
			continue
		}
		if err := d.step(ctx, x.delta, base, t.packed(packed), from, to); err != nil {
			return err
		}
		kernel.Load(x.wide, base, s.dtype)
		for i, w := range x.wide {
			x.delta[i] -= w
		}
	}
	bad := kernel.AddScaled(dst, base, x.delta, 1, s.dtype)
	if bad >= 0 && !s.param.AllowNonFinite {
		return s.overflow(from + int64(bad)/max(s.cols, 1))
	}
	return nil
}

// stepRows rounds after each term.
func (s *sum) stepRows(ctx context.Context, x *scratch, dst, src, packed []byte, from, to int64) error {
	x.bytes = grow(x.bytes, len(src))
	base := x.bytes
	copy(base, src)
	for _, t := range s.terms {
		d, ok := t.Bound.(stepper)
		if !ok {
			if err := t.Rows(ctx, dst, src, t.packed(packed), from, to); err != nil {
				return err
			}
			src = dst
			continue
		}
		kernel.Load(x.delta, src, s.dtype)
		kernel.Load(x.wide, base, s.dtype)
		for i, w := range x.wide {
			x.delta[i] -= w
		}
		if err := d.step(ctx, x.delta, base, t.packed(packed), from, to); err != nil {
			return err
		}
		if !kernel.Store(dst, x.delta, s.dtype) && !s.param.AllowNonFinite {
			return s.overflow(from + firstInfinite(dst, s.dtype)/max(s.cols, 1))
		}
		src = dst
	}
	return nil
}

// asBytes sees fp32 values as the bytes of a parameter.
func asBytes(f []float32) []byte {
	if len(f) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), 4*len(f))
}

type sumFromBase struct{ *sum }

func (s sumFromBase) PackFrom(ctx context.Context, dst []byte, base rowReader) error {
	return s.packFrom(ctx, dst, base)
}

type sumPreparer struct{ *sum }

func (s sumPreparer) Prepare(ctx context.Context, packed []byte, rows rowReader) error {
	for _, t := range s.terms {
		if p, ok := t.Bound.(Preparer); ok {
			if err := p.Prepare(ctx, t.packed(packed), rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// sumOfAll has terms of both kinds.
type sumOfAll struct {
	sumFromBase
	prep sumPreparer
}

func (s *sumOfAll) Prepare(ctx context.Context, packed []byte, rows rowReader) error {
	return s.prep.Prepare(ctx, packed, rows)
}
