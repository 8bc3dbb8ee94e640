package transform

import (
	"context"
	"fmt"
	"math"
	"sync"

	"lorafs/lazymerge/transform/numpyrand"
	"lorafs/safetensors"
)

// DrawnUniLoRA is UniLoRA with indices that were not saved: a shuffled list in which
// each element of the vector is nearly as often as the others is dealt to the modules
// in the model's order, A before B (peft tuners/unilora/model.py:82 @0.21.2).
type DrawnUniLoRA struct {
	Theta *safetensors.Tensor // [d]
	Rank  int64
	Seed  uint64
	Class Class
	// Turn lets one module at a time have the list, which is as long as all factors
	// together and kept for as long as it takes to deal.
	Turn *sync.Mutex

	before, total int64 // elements of the list: of earlier modules, of all
}

var _ Joint = DrawnUniLoRA{}

// mostDealt bounds the list, and with it what a config alone can ask for.
const mostDealt = 1 << 28

// Describe implements Transform.
func (u DrawnUniLoRA) Describe() Description {
	return Description{Type: "unilora", Rank: int(u.Rank), Scaling: 1, Note: "indices drawn from the seed"}
}

// Tensors implements Transform.
func (u DrawnUniLoRA) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{u.Theta} }

// Range implements Ranged: an element of a factor is at most the vector's, and the
// factor's norms are those of its indices' shares.
func (u DrawnUniLoRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	n := norm(u.Theta)
	return n * n * 1.01, 1
}

// Join implements Joint.
func (u DrawnUniLoRA) Join(p Peers) (Transform, error) {
	if p.Order != nil {
		return nil, &JointError{Transform: "unilora", Reason: "it was dealt in the order of the model's modules", Err: p.Order}
	}
	for i, x := range p.Params {
		in, out := x.inOut()
		if u.Rank > mostDealt || u.total > mostDealt-u.Rank*(in+out) {
			return nil, &JointError{Transform: "unilora", Reason: fmt.Sprintf("rank %d takes more than %d indices", u.Rank, mostDealt)}
		}
		n := u.Rank * (in + out)
		if i < p.Self {
			u.before += n
		}
		u.total += n
	}
	return u, nil
}

// Bind implements Transform.
func (u DrawnUniLoRA) Bind(p Param, r Rounding) (Bound, error) {
	if len(p.Shape) != 2 || len(u.Theta.Shape) != 1 || u.Theta.Shape[0] == 0 {
		return nil, &ShapeError{Tensor: p.Name, Base: p.Shape, Other: u.Theta.Name, Want: []int64{-1}, Got: u.Theta.Shape}
	}
	if err := needFloats(u.Theta); err != nil {
		return nil, err
	}
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	return newDrawn(p, u.Rank, p.Conv1D, 1, u.Class.passes(r), func(ctx context.Context, s *scratch, a, b []float32) error {
		u.Turn.Lock()
		defer u.Turn.Unlock()
		list, err := u.list(ctx)
		if err != nil {
			return err
		}
		values, err := u.values(list, func(x []float32) { s.round(x, dtype) })
		if err != nil {
			return err
		}
		for i := range a {
			a[i] = values[list[u.before+int64(i)]]
		}
		for i := range b {
			b[i] = values[list[u.before+int64(len(a)+i)]]
		}
		return nil
	})
}

// list is the shuffled list (peft tuners/unilora/model.py:131 @0.21.2).
func (u DrawnUniLoRA) list(ctx context.Context) ([]uint32, error) {
	d := product(u.Theta.Shape)
	each, rest := u.total/d, u.total%d
	list := make([]uint32, 0, u.total)
	for i := range uint32(d) {
		for range each {
			list = append(list, i)
		}
	}
	g := numpyrand.New(u.Seed)
	if rest > 0 {
		extra, err := g.Choice(ctx, d, rest)
		if err != nil {
			return nil, err
		}
		for _, x := range extra {
			list = append(list, uint32(x))
		}
	}
	err := g.Shuffle(ctx, u.total, func(i, j int64) { list[i], list[j] = list[j], list[i] })
	return list, err
}

// values is the vector, each element over the root of how often it is in the list.
func (u DrawnUniLoRA) values(list []uint32, round func([]float32)) ([]float32, error) {
	values := make([]float32, product(u.Theta.Shape))
	if err := ReadFloats(values, u.Theta, 0); err != nil {
		return nil, err
	}
	counts := make([]int64, len(values))
	for _, x := range list {
		counts[x]++
	}
	scales := make([]float32, len(values))
	for i, n := range counts {
		if n > 0 {
			scales[i] = float32(1 / math.Sqrt(float64(n)))
		}
	}
	round(scales)
	for i := range values {
		values[i] *= scales[i]
	}
	return values, nil
}
