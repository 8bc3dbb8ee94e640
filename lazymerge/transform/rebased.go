package transform

import (
	"context"

	"gonum.org/v1/gonum/blas/blas64"

	"lorafs/safetensors"
)

// Change is what loading an adapter takes off the base before the adapter acts on it.
type Change uint8

const (
	// Principal takes the Rank greatest singular components off (PiSSA; peft
	// tuners/lora/layer.py:429 @0.21.2).
	Principal Change = iota
	// Minor takes the Rank least singular components off (KaSA; peft
	// tuners/lora/variants.py:1347 @0.21.2).
	Minor
	// Leading takes Times the projection to the span of the first Rank columns off, as
	// the weight is stored (OLoRA; peft tuners/lora/layer.py:384 @0.21.2).
	Leading
)

func (c Change) String() string { return [...]string{"pissa", "kasa", "olora"}[c] }

func (c Change) note() string {
	return [...]string{
		"loading takes the greatest singular components off the base (PiSSA)",
		"loading takes the least singular components off the base (KaSA)",
		"loading takes the span of the first columns off the base (OLoRA)",
	}[c] + "; PEFT decomposes in fp32, so that on a 16-bit base a weight in some hundred rounds the other way"
}

// Rebased is Then on a base that loading the adapter changes, and rounds, first. The
// change does not depend on the signs of a decomposition.
type Rebased struct {
	Change Change
	Rank   int64
	Times  float64 // of Leading
	Layer  Kind    // PEFT does this to linear layers alone
	Then   Transform
}

var _ Transform = Rebased{}

// Describe implements Transform.
func (x Rebased) Describe() Description {
	d := x.Then.Describe()
	d.Note = x.Change.note()
	return d
}

// Tensors implements Transform.
func (x Rebased) Tensors() []*safetensors.Tensor { return x.Then.Tensors() }

// Range implements Ranged.
func (x Rebased) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	left := 1 + widestSum*max(1, abs(x.Times))
	switch t := x.Then.(type) {
	case LowRank:
		return abs(t.Scale) * norm(t.A) * norm(t.B), left
	case DoRA:
		return norm(t.Magnitude), 1 // that of a row of the result
	case Ranged:
		added, times = t.Range(norm)
		return added, times * left
	}
	return 0, left
}

// Bind implements Transform.
func (x Rebased) Bind(p Param, r Rounding) (Bound, error) {
	then, err := x.Then.Bind(p, r)
	if err != nil {
		return nil, err
	}
	if x.Layer != Linear || len(p.Shape) != 2 || x.Change == Minor && p.Conv1D {
		return nil, &LayerError{Tensor: p.Name, Transform: x.Change.String(), Layer: x.Layer}
	}
	n := min(p.Shape[0], p.Shape[1])
	if x.Change == Minor {
		n-- // PEFT wants a component to stay
	}
	if x.Rank > n {
		return nil, shapeError(p, x.Tensors()[0], []int64{n, -1})
	}
	times := 1.0
	if x.Change == Leading {
		times = x.Times
	}
	change, err := newBaseFactors(p, false, x.Rank, -times, once, x.make)
	if err != nil {
		return nil, err
	}
	b := rebased{change: change, then: then}
	if inner, ok := then.(Preparer); ok {
		return &preparedRebased{b, inner}, nil
	}
	return &b, nil
}

func (x Rebased) make(ctx context.Context, w weights) (b, a []float32, err error) {
	var left, right blas64.General
	if x.Change == Leading {
		left, right, err = w.leading(ctx, int(x.Rank))
	} else {
		var s *singular
		if s, err = findSingular(ctx, w); err != nil {
			return nil, nil, err
		}
		from, to := 0, int(x.Rank)
		if x.Change == Principal {
			from, to = s.n-int(x.Rank), s.n
		}
		left, right, err = s.part(ctx, from, to)
	}
	return narrow(left.Data), narrow(right.Data), err
}

// leading is the part of W in the span of its first n columns, Q and Qᵀ·W.
func (w *weights) leading(ctx context.Context, n int) (q, a blas64.General, err error) {
	q = general(int(w.rows), n)
	err = w.walk(ctx, w.base, func(block []float32, lo, hi int64) error {
		for i := lo; i < hi; i++ {
			widen(q.Data[int(i)*n:], block[(i-lo)*w.cols:][:n])
		}
		return nil
	})
	if err != nil {
		return q, a, err
	}
	if err := orthonormal(q); err != nil {
		return q, a, err
	}
	a, err = w.project(ctx, q)
	return q, a, err
}

// rebased packs the factors of the change, then what the other packs.
type rebased struct {
	change *baseFactors
	then   Bound
}

var _ FromBase = (*rebased)(nil)

func (b *rebased) split() int64 { return (b.change.PackSize() + 63) / 64 * 64 }

func (b *rebased) PackSize() int64 { return b.split() + b.then.PackSize() }

// Pack cannot do without the base.
func (b *rebased) Pack(context.Context, []byte) error { return errNeedsBase }

func (b *rebased) PackFrom(ctx context.Context, dst []byte, base rowReader) error {
	if err := b.change.PackFrom(ctx, dst[:b.change.PackSize()], base); err != nil {
		return err
	}
	return b.then.Pack(ctx, dst[b.split():])
}

func (b *rebased) changed(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	return b.change.Rows(ctx, dst, src, packed[:b.change.PackSize()], lo, hi)
}

func (b *rebased) Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error {
	if err := b.changed(ctx, dst, src, packed, lo, hi); err != nil {
		return err
	}
	return b.then.Rows(ctx, dst, dst, packed[b.split():], lo, hi)
}

// preparedRebased is for a transform that must see the whole changed base.
type preparedRebased struct {
	rebased
	inner Preparer
}

var _ Preparer = (*preparedRebased)(nil)

func (b *preparedRebased) Prepare(ctx context.Context, packed []byte, base func(ctx context.Context, dst []byte, lo, hi int64) error) error {
	return b.inner.Prepare(ctx, packed[b.split():], func(ctx context.Context, dst []byte, lo, hi int64) error {
		if err := base(ctx, dst, lo, hi); err != nil {
			return err
		}
		return b.changed(ctx, dst, dst, packed, lo, hi)
	})
}
