package lazymerge

import (
	"context"
	"math"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// A merge that leaves the range of the base's dtype is refused when the pair is
// opened, not when its bytes are read weeks later. Only what could overflow by the
// norms of its factors is computed for that: next to nothing on bf16 and fp32,
// and on f16 what no sound adapter comes near.

// checkRange computes the tensors that may overflow. norms holds those of the
// tensors of each edit. Errors: *EditError around *transform.OverflowError.
func (m *Model) checkRange(ctx context.Context, norms map[*safetensors.Tensor]float64) error {
	if m.opt.AllowNonFinite {
		return nil
	}
	for _, p := range m.plans {
		for _, o := range p.outputs {
			if safe(o, norms) {
				continue
			}
			c, err := m.rounded(p, o, m.opt.Rounding, false)
			if err != nil {
				return err
			}
			if err := c.scan(ctx); err != nil {
				last := o.edits[len(o.edits)-1].Adapter
				return p.of(last, &EditError{Adapter: p.file(last), Base: m.base.Ref(), Tensor: o.name, Keys: o.keys(), Err: err})
			}
		}
	}
	return nil
}

func (o *output) keys() []string {
	var keys []string
	for _, e := range o.edits {
		keys = append(keys, e.Keys...)
	}
	return keys
}

// scan computes all rows and drops them.
func (m *merged) scan(ctx context.Context) error {
	if m.rows == 0 || m.rowBytes == 0 {
		return nil
	}
	step := m.aligned(max(1, tileBytes/m.rowBytes))
	buf := make([]byte, min(step, m.rows)*m.rowBytes)
	for lo := int64(0); lo < m.rows; lo += step {
		hi := min(lo+step, m.rows)
		if err := m.compute(ctx, buf[:(hi-lo)*m.rowBytes], lo, hi); err != nil {
			return err
		}
	}
	return nil
}

// transforms are those that make the output, those of a stack together.
func (o *output) transforms() []transform.Transform {
	var all []transform.Transform
	for _, e := range o.edits {
		if _, ok := e.Transform.(transform.Replace); ok {
			all = append(all, e.Transform)
		}
	}
	for _, e := range o.chain {
		if _, ok := e.Transform.(transform.Replace); !ok {
			all = append(all, e.Transform)
		}
	}
	return all
}

// safe says that the output stays finite whatever finite values the base has.
func safe(o *output, norms map[*safetensors.Tensor]float64) bool {
	largest, slack := limits(o.info.DType)
	total := 0.0
	for _, t := range o.transforms() {
		var bound float64
		switch v := t.(type) {
		case transform.LowRank:
			// |Σ b·a| ≤ |b|·|a|, and a row's norm is at most the matrix's.
			bound = math.Abs(v.Scale) * norms[v.A] * norms[v.B] / slack
			if v.Layer == transform.OutProj {
				bound *= 2
			}
		case transform.DoRA:
			bound = norms[v.Magnitude] / largest // of a row of the result, its norm
			if math.Abs(v.Scale)*norms[v.A]*norms[v.B] > largest {
				bound = math.Inf(1)
			}
		case transform.AddBias:
			bound = math.Abs(v.Scale) * norms[v.Bias] / slack
		case transform.Share:
			added, _ := v.Range(func(t *safetensors.Tensor) float64 { return norms[t] })
			if !(added < slack) {
				added = v.Largest()
			}
			bound = added / slack
		case transform.Ranged:
			added, times := v.Range(func(t *safetensors.Tensor) float64 { return norms[t] })
			// No sound model has weights beyond 64.
			bound = (64*times + added) / largest
			if times > 0 { // else the weight does not count
				bound = max(bound, added/slack)
			}
			if math.IsInf(bound, 1) && o.info.DType != safetensors.F16 {
				bound = 0 // nothing is known, and the range is wide
			}
		default:
			for _, r := range t.Tensors() {
				bound = max(bound, norms[r]/largest)
			}
		}
		if total += bound; !(total < 1) {
			return false
		}
	}
	return true
}

// limits are the largest finite value of a dtype, with a margin for what norms lose,
// and the largest addend that takes no finite value beyond it: half the distance of
// the two largest values.
func limits(d safetensors.DType) (largest, slack float64) {
	switch d {
	case safetensors.F16:
		return 65000, 15.9
	case safetensors.BF16:
		return 3e38, 0x1p118
	case safetensors.F32:
		return 3e38, 0x1p102
	}
	return math.MaxFloat64 / 2, math.MaxFloat64 / 2
}
