package transform

import (
	"encoding/binary"
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// Scalings multiplies with Σ wᵢ·lᵢ, PEFT's weighted combination of IA3 (peft
// tuners/ia3/model.py:273 @0.21.2).
type Scalings struct {
	Of      []Scaling // of one module
	Weights []float64
}

var _ Ranged = Scalings{}

// Describe implements Transform.
func (x Scalings) Describe() Description { return Description{Type: "ia3"} }

// Tensors implements Transform.
func (x Scalings) Tensors() []*safetensors.Tensor {
	var all []*safetensors.Tensor
	for _, s := range x.Of {
		all = append(all, s.By)
	}
	return all
}

// Range implements Ranged.
func (x Scalings) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	for i, s := range x.Of {
		times += abs(x.Weights[i]) * norm(s.By)
	}
	return 0, times
}

// Bind implements Transform. The vectors are added here: they are short.
func (x Scalings) Bind(p Param, r Rounding) (Bound, error) {
	first := x.Of[0]
	n := product(first.By.Shape)
	sum, values := make([]float32, n), make([]float32, n)
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	narrow := make([]byte, n*int64(dtype.Size()))
	for i, s := range x.Of {
		if err := needFloats(s.By); err != nil {
			return nil, err
		}
		if product(s.By.Shape) != n {
			return nil, shapeError(p, s.By, first.By.Shape)
		}
		if s.Inputs != first.Inputs {
			return nil, &SumError{Tensor: p.Name}
		}
		if err := ReadFloats(values, s.By, 0); err != nil {
			return nil, err
		}
		for j, l := range values {
			sum[j] += float32(l * float32(x.Weights[i]))
		}
		kernel.Store(narrow, sum, dtype) // PEFT adds into a parameter of the base's dtype
		kernel.Load(sum, narrow, dtype)
	}
	raw := make([]byte, 0, 4*n)
	for _, v := range sum {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	by, err := safetensors.FromBytes(safetensors.Info{Name: first.By.Name, DType: safetensors.F32, Shape: first.By.Shape}, raw)
	if err != nil {
		return nil, err
	}
	return Scaling{By: by, Inputs: first.Inputs}.Bind(p, r)
}
