package transform

import (
	"context"
	"fmt"

	"lorafs/lazymerge/kernel"
)

// drawn is a low-rank product whose factors are drawn from a seed. Drawing them takes
// all draws that come before, so they are drawn once for a tensor and packed, in fp32,
// behind what the kernel reads.
type drawn struct {
	lowRank
	narrow, wide int64 // elements of the factors
	fill         drawFill
}

// drawFill sets the factors: narrow is rank×n and wide m×rank, row by row.
type drawFill func(ctx context.Context, s *scratch, narrow, wide []float32) error

// heldFactor reads the packed factors from an element on.
type heldFactor struct{ from int64 }

func (f heldFactor) read(s *scratch, lo, hi int64) ([]float32, error) {
	return s.held[f.from+lo : f.from+hi], nil
}

// newDrawn adds scale·wide·narrow to p, or its transpose.
func newDrawn(p Param, rank int64, transposed bool, scale float64, passes []pass, fill drawFill) (*drawn, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	rows, cols := flatten(p.Shape)
	d := &drawn{fill: fill, narrow: rank * cols, wide: rows * rank}
	d.lowRank = lowRank{param: p, dtype: dtype, scale: scale, passes: passes, beside: true}
	d.factors = factors{rows: rows, cols: cols, rank: rank, transposed: transposed}
	if transposed {
		d.narrow, d.wide = rank*rows, cols*rank
		d.left, d.right = heldFactor{0}, heldFactor{d.narrow}
	} else {
		d.left, d.right = heldFactor{d.narrow}, heldFactor{0}
	}
	return d, nil
}

func (d *drawn) PackSize() int64 { return d.packSize() + 4*(d.narrow+d.wide) }

func (d *drawn) Pack(ctx context.Context, dst []byte) error {
	held := d.held(dst)
	s := getScratch()
	defer s.release()
	if err := d.fill(ctx, s, held[:d.narrow], held[d.narrow:]); err != nil {
		return fmt.Errorf("draw the projections: %w", err)
	}
	return d.pack(ctx, dst[:d.packSize()], held)
}

// round rounds values to a dtype.
func (s *scratch) round(values []float32, t kernel.DType) {
	if t == kernel.F32 {
		return
	}
	const step = 1 << 14
	for len(values) > 0 {
		part := values[:min(step, len(values))]
		s.bytes = grow(s.bytes, len(part)*t.Size())
		kernel.Store(s.bytes, part, t)
		kernel.Load(part, s.bytes, t)
		values = values[len(part):]
	}
}
