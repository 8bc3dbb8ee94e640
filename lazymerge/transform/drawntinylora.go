package transform

import (
	"context"
	"fmt"
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/lazymerge/transform/torchrand"
	"lorafs/safetensors"
)

// DrawnTinyLoRA adds B·(Σ V[i]·P[i])·A with matrices P that were not saved: they are
// normal of variance 1/r, drawn from the seed plus the layer's place in the model, and
// kept in the base's dtype (peft tuners/tinylora/layer.py:246 @0.21.2).
type DrawnTinyLoRA struct {
	A, B   *safetensors.Tensor   // [r, in], [out, r]
	Shared []*safetensors.Tensor // [u] each, of the groups of layers; nil where the file has none
	Tying  float64               // weight_tying
	Seed   int64
	Class  Class
}

var _ Joint = DrawnTinyLoRA{}

// Describe implements Transform.
func (t DrawnTinyLoRA) Describe() Description {
	rank, _ := flatten(t.A.Shape)
	return Description{Type: "tinylora", Rank: int(rank), Scaling: 1, Note: "projections drawn from the seed"}
}

// Tensors implements Transform.
func (t DrawnTinyLoRA) Tensors() []*safetensors.Tensor {
	return append([]*safetensors.Tensor{t.A, t.B}, t.Shared...)
}

// Range implements Ranged. A normal draw by torch is below 6.
func (t DrawnTinyLoRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	v := 0.0
	for _, x := range t.Shared {
		v = max(v, norm(x)*math.Sqrt(float64(product(x.Shape))))
	}
	rank, _ := flatten(t.A.Shape)
	return norm(t.A) * norm(t.B) * v * 6 * math.Sqrt(float64(rank)), 1
}

// TinyGroup is the number of the vector that the layer at a place shares (peft
// tuners/tinylora/model.py:147 @0.21.2).
func TinyGroup(place, layers int, tying float64) int {
	groups := max(1, int(math.RoundToEven(float64(layers)*(1-tying))))
	return min(place/max(1, layers/groups), groups-1)
}

// Join implements Joint.
func (t DrawnTinyLoRA) Join(p Peers) (Transform, error) {
	if p.Order != nil {
		return nil, &JointError{Transform: "tinylora", Reason: "it was drawn by the order of the model's modules", Err: p.Order}
	}
	group := TinyGroup(p.Self, len(p.Params), t.Tying)
	if group >= len(t.Shared) {
		return nil, &JointError{Transform: "tinylora", Reason: fmt.Sprintf("layer %d of %d needs vector %d of %d", p.Self+1, len(p.Params), group, len(t.Shared))}
	}
	return placedTiny{DrawnTinyLoRA: t, v: t.Shared[group], place: p.Self}, nil
}

// Bind implements Transform: the place is not known before Join.
func (t DrawnTinyLoRA) Bind(p Param, _ Rounding) (Bound, error) {
	return nil, &JointError{Transform: "tinylora", Reason: fmt.Sprintf("the place of %q is not known", p.Name)}
}

// placedTiny is a DrawnTinyLoRA of which the place is known.
type placedTiny struct {
	DrawnTinyLoRA
	v     *safetensors.Tensor
	place int
}

// Tensors implements Transform.
func (t placedTiny) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{t.A, t.B, t.v}
}

// Bind implements Transform.
func (t placedTiny) Bind(p Param, r Rounding) (Bound, error) {
	if err := needFloats(t.v); err != nil {
		return nil, err
	}
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	turned, err := fit(p, Product{Stored{t.B}, Stored{t.A}})
	if err != nil {
		return nil, err
	}
	rank, in := flatten(t.A.Shape)
	return newDrawn(p, rank, turned, 1, t.Class.passes(r), func(ctx context.Context, s *scratch, a, b []float32) error {
		mix, err := t.mix(ctx, s, rank, dtype)
		if err != nil {
			return err
		}
		s.turn = grow(s.turn, len(a))
		if err := ReadFloats(s.turn, t.A, 0); err != nil {
			return err
		}
		multiply(a, mix, s.turn, int(rank), int(in))
		return ReadFloats(b, t.B, 0)
	})
}

// mix is Σ V[i]·P[i].
func (t placedTiny) mix(ctx context.Context, s *scratch, rank int64, dtype kernel.DType) ([]float32, error) {
	u, size := product(t.v.Shape), rank*rank
	s.wide = grow(s.wide, int(u))
	if err := ReadFloats(s.wide, t.v, 0); err != nil {
		return nil, err
	}
	s.sums = grow(s.sums, int(size))
	clear(s.sums)
	var one [1]float32
	g := torchrand.New(t.Seed + int64(t.place))
	err := g.Normal(ctx, u*size, float32(1/math.Sqrt(float64(rank))), func(i int64, x float32) {
		one[0] = x
		s.round(one[:], dtype)
		s.sums[i%size] += s.wide[i/size] * one[0]
	})
	return s.sums, err
}
