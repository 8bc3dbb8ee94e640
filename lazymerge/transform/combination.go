package transform

import (
	"context"
	"fmt"
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/lazymerge/transform/torchrand"
	"lorafs/safetensors"
)

// Form is what becomes of the factors of several low-rank deltas.
type Form uint8

// The forms.
const (
	Mixed        Form = iota // A of the As, B of the Bs; the ranks must agree
	Concatenated             // all ranks beside each other
	Truncated                // the deltas are mixed and decomposed to a lower rank
)

// Combination adds one low-rank delta made of several: PEFT's add_weighted_adapter
// (peft tuners/lora/model.py:786 @0.21.2) and the merge of its result. Factors are
// combined when they are packed.
type Combination struct {
	Type    string // for reports
	Of      []LowRank
	Weights []float64 // one for each
	Form    Form
	Blend   Blend
	Rank    int64 // to which Truncated cuts
	// Scale is PEFT's scaling of the result: 1, or √rank where it takes over the first
	// adapter's use_rslora.
	Scale float64
	Seed  int64 // of torch's generator for this parameter
}

var _ Ranged = Combination{}

// Describe implements Transform.
func (c Combination) Describe() Description {
	return Description{Type: c.Type, Rank: int(c.newRank()), Scaling: c.Scale}
}

func (c Combination) newRank() int64 {
	var sum int64
	for _, l := range c.Of {
		sum += int64(l.rank())
	}
	switch c.Form {
	case Mixed:
		return int64(c.Of[0].rank())
	case Truncated:
		return c.Rank
	}
	return sum
}

// Tensors implements Transform.
func (c Combination) Tensors() []*safetensors.Tensor {
	var all []*safetensors.Tensor
	for _, l := range c.Of {
		all = append(all, l.Tensors()...)
	}
	return all
}

// Range implements Ranged.
func (c Combination) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	var a, b, product float64
	grown := 1.0
	if c.Blend.Prune == KeepRandom && c.Blend.Density > 0 {
		grown = max(1/c.Blend.Density, 1)
	}
	for i, l := range c.Of {
		root := math.Sqrt(math.Abs(c.Weights[i] * l.Scale))
		a += root * norm(l.A) * grown
		b += root * norm(l.B) * grown
		product += root * root * norm(l.A) * norm(l.B) * grown
	}
	if c.Form == Mixed {
		product = a * b
	}
	for _, l := range c.Of {
		if l.Layer == OutProj {
			product *= 2
			break
		}
	}
	return abs(c.Scale) * product, 1
}

// Bind implements Transform. Errors: *RankMixError.
func (c Combination) Bind(p Param, r Rounding) (Bound, error) {
	x := &combination{Combination: c}
	for _, l := range c.Of {
		m, err := l.bind(p, r)
		if err != nil {
			return nil, err
		}
		x.of = append(x.of, m)
	}
	x.lowRank = *x.of[0]
	for _, m := range x.of[1:] {
		if c.Form == Mixed && m.rank != x.rank {
			return nil, &RankMixError{Tensor: p.Name, Ranks: [2]int64{x.rank, m.rank}}
		}
		if m.transposed != x.transposed {
			return nil, &SumError{Tensor: p.Name}
		}
	}
	x.lowRank.rank = c.newRank()
	if c.Form == Truncated {
		x.lowRank.rank = min(c.Rank, x.rows, x.cols)
	}
	x.leftAt = (x.packSize() + 63) / 64 * 64
	x.scale = c.Scale
	if c.Form == Concatenated && x.dtype != kernel.F32 {
		x.passes = doubled(x.passes)
	}
	if n := x.rows * x.cols; c.Form == Truncated && !x.thin() && n > maxDecomposed {
		return nil, &DecompositionError{Tensor: p.Name, Elements: n}
	}
	return x, nil
}

// RankMixError says that factors of unequal ranks were to be mixed.
type RankMixError struct {
	Tensor string
	Ranks  [2]int64
}

func (e *RankMixError) Error() string {
	return fmt.Sprintf("the adapters have the ranks %d and %d on %q, and their factors cannot be mixed", e.Ranks[0], e.Ranks[1], e.Tensor)
}

type combination struct {
	lowRank
	Combination
	of []*lowRank
}

func (x *combination) leftSize() int64 { return 4 * x.rows * x.lowRank.rank }

func (x *combination) PackSize() int64 {
	if x.lowRank.rank == 0 {
		return 0
	}
	return x.leftAt + x.leftSize()
}

// sides is the outputs and inputs of the layer.
func (x *combination) sides() (out, in int64) {
	if x.transposed {
		return x.cols, x.rows
	}
	return x.rows, x.cols
}

func (x *combination) Pack(ctx context.Context, dst []byte) error {
	if x.lowRank.rank == 0 {
		return nil
	}
	a, b, err := x.combine(ctx)
	if err != nil {
		return err
	}
	out, in := x.sides()
	rank := int(x.lowRank.rank)
	left := packedFloats(dst[x.leftAt:])
	p := kernel.NewPacker(dst[:x.packSize()], rank, int(x.cols))
	if x.transposed {
		for j := range int(out) {
			p.Column(j, b[j*rank:][:rank])
		}
		transposeInto(left, a, rank, int(in))
	} else {
		for k := range rank {
			p.Row(k, 0, a[k*int(in):][:in])
		}
		copy(left, b)
	}
	p.Finish()
	return nil
}

// transposeInto sets dst to the transpose of src, rows×cols.
func transposeInto(dst, src []float32, rows, cols int) {
	for i := range rows {
		for j, v := range src[i*cols:][:cols] {
			dst[j*rows+i] = v
		}
	}
}

// combine makes A[rank, in] and B[out, rank].
func (x *combination) combine(ctx context.Context) (a, b []float32, err error) {
	as, bs := make([][]float32, len(x.of)), make([][]float32, len(x.of))
	for i, m := range x.of {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if as[i], bs[i], err = m.whole(); err != nil {
			return nil, nil, err
		}
	}
	out, in := x.sides()
	switch x.Form {
	case Concatenated:
		a, b = x.concatenate(as, bs, out)
		return a, b, nil
	case Truncated:
		return x.decompose(ctx, as, bs, int(out), int(in))
	}
	weightsA, weightsB := make([]float32, len(as)), make([]float32, len(as))
	for i, w := range x.Weights {
		w *= x.Of[i].Scale
		root := float32(math.Sqrt(math.Abs(w)))
		weightsA[i], weightsB[i] = root, root
		if w < 0 {
			weightsA[i] = -root // on one side, or the signs would cancel
		}
	}
	draws := torchrand.New(x.Seed)
	return x.Blend.mix(as, weightsA, draws), x.Blend.mix(bs, weightsB, draws), nil
}

// whole reads both factors as PEFT has them: A[rank, in] and B[out, rank].
func (l *lowRank) whole() (a, b []float32, err error) {
	s := getScratch()
	defer s.release()
	stored, other := l.right, l.left
	in, out := l.cols, l.rows
	if l.transposed {
		stored, other, in, out = l.left, l.right, l.rows, l.cols
	}
	v, err := stored.read(s, 0, l.rank*in)
	if err != nil {
		return nil, nil, err
	}
	a = append(a, v...)
	if v, err = other.read(s, 0, out*l.rank); err != nil {
		return nil, nil, err
	}
	return a, append(b, v...), nil
}

// doubled rounds the delta before each addition.
func doubled(passes []pass) []pass {
	var out []pass
	for _, p := range passes {
		out = append(out, pass{p.times, kernel.Twice})
	}
	return out
}

// concatenate multiplies each A with its weight and then with its scale. PEFT copies
// the factors into parameters that it has made in the base's dtype, which rounds them,
// and so also the delta in the end; other forms take the place of these parameters.
func (x *combination) concatenate(as, bs [][]float32, out int64) (a, b []float32) {
	rank := x.lowRank.rank
	b = make([]float32, out*rank)
	at := int64(0)
	for i, m := range x.of {
		w, s := float32(x.Weights[i]), float32(x.Of[i].Scale)
		for _, v := range as[i] {
			a = append(a, v*w*s)
		}
		for o := range out {
			copy(b[o*rank+at:], bs[i][o*m.rank:][:m.rank])
		}
		at += m.rank
	}
	x.round(a)
	x.round(b)
	return a, b
}

// round rounds values to the base's dtype.
func (x *combination) round(values []float32) {
	raw := make([]byte, len(values)*x.dtype.Size())
	kernel.Store(raw, values, x.dtype)
	kernel.Load(values, raw, x.dtype)
}
