package transform

import (
	"math"

	"lorafs/safetensors"
)

// UniLoRA adds B·A, whose elements are those of one vector of all modules, at places
// that were drawn, times factors that even out how often each was (peft
// tuners/unilora/layer.py:204 @0.21.2). PEFT keeps the factors in the base's dtype.
type UniLoRA struct {
	Theta          *safetensors.Tensor // [d]
	IndexA, IndexB *safetensors.Tensor // [r, in], [out, r]
	ScaleA, ScaleB *safetensors.Tensor // the same
	Class          Class
}

var _ Transform = UniLoRA{}

// Describe implements Transform.
func (u UniLoRA) Describe() Description {
	rank, _ := flatten(u.IndexA.Shape)
	return Description{Type: "unilora", Rank: int(rank), Scaling: 1}
}

// Tensors implements Transform.
func (u UniLoRA) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{u.Theta, u.IndexA, u.ScaleA, u.IndexB, u.ScaleB}
}

// Range implements Ranged.
func (u UniLoRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return norm(u.Theta) * norm(u.ScaleA) * norm(u.Theta) * norm(u.ScaleB), 1
}

// Bind implements Transform.
func (u UniLoRA) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	side := func(index, scale *safetensors.Tensor) Matrix {
		return Hadamard{Picked{Theta: u.Theta, Index: index}, Rounded{Stored{scale}, dtype}}
	}
	return Factors{Type: "unilora", Scale: 1, Class: u.Class, A: side(u.IndexA, u.ScaleA), B: side(u.IndexB, u.ScaleB)}.Bind(p, r)
}

// Picked is a matrix of elements of a vector.
type Picked struct {
	Theta *safetensors.Tensor // [d]
	Index *safetensors.Tensor // [rows, cols]
}

var _ Matrix = Picked{}

// Size implements Matrix.
func (m Picked) Size() (rows, cols int64) { return flatten(m.Index.Shape) }

// Check implements Matrix.
func (m Picked) Check() error {
	if len(m.Theta.Shape) != 1 {
		return &ShapeError{Other: m.Theta.Name, Got: m.Theta.Shape, Want: []int64{-1}}
	}
	if len(m.Index.Shape) != 2 {
		return &ShapeError{Other: m.Index.Name, Got: m.Index.Shape, Want: []int64{-1, -1}}
	}
	if err := needFloats(m.Theta); err != nil {
		return err
	}
	return checkIndices(m.Index, m.Theta)
}

// Area implements Matrix.
func (m Picked) Area(dst []float32, b Block) error {
	_, cols := m.Size()
	size := m.Theta.DType.Bits() / 8
	theta, err := m.Theta.Slice(0, m.Theta.Shape[0]*int64(size))
	if err != nil {
		return err
	}
	s := getScratch()
	defer s.release()
	s.picks = grow(s.picks, int(b.Cols))
	for i := range b.Rows {
		if err := readIndices(s.picks, m.Index, (b.Row+i)*cols+b.Col); err != nil {
			return err
		}
		row := dst[i*b.Cols:][:b.Cols]
		for j, at := range s.picks {
			if err := safetensors.AsFloat32(row[j:j+1], theta[int(at)*size:][:size], m.Theta.DType); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m Picked) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.Theta, m.Index} }

// Norm implements Matrix: no element is greater than the vector.
func (m Picked) Norm(of func(*safetensors.Tensor) float64) float64 {
	return math.Sqrt(float64(product(m.Index.Shape))) * of(m.Theta)
}
