package transform

import (
	"math"
	"sync"

	"lorafs/safetensors"
)

// DeLoRA adds B·diag(d)·A·diag(WNorm), where d_i = Lambda/(r·‖A_i‖·‖B_i‖) with norms of
// at least 1e-4 (peft tuners/delora/layer.py:75 @0.21.2).
type DeLoRA struct {
	A, B   *safetensors.Tensor // [r, in], [out, r]
	Lambda *safetensors.Tensor // [1]
	WNorm  *safetensors.Tensor // [in], of the base's columns before training
	Class  Class
}

var _ Transform = DeLoRA{}

func (d DeLoRA) factors() Factors {
	return Factors{
		Type: "delora", Scale: 1, Class: d.Class,
		A: &unitRows{a: Stored{d.A}, b: Stored{d.B}, lambda: d.Lambda, norm: d.WNorm}, B: Stored{d.B},
	}
}

// Describe implements Transform.
func (d DeLoRA) Describe() Description { return d.factors().Describe() }

// Tensors implements Transform.
func (d DeLoRA) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{d.B, d.A, d.Lambda, d.WNorm}
}

// Range implements Ranged: with norms of 1e-4 or more, d is at most Lambda·1e8.
func (d DeLoRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return norm(d.Lambda) * norm(d.WNorm) * min(norm(d.A)*norm(d.B)*1e8, 1), 1
}

// Bind implements Transform.
func (d DeLoRA) Bind(p Param, r Rounding) (Bound, error) { return d.factors().Bind(p, r) }

// unitRows is diag(d)·A·diag(norm) of DeLoRA. The norms are taken once.
type unitRows struct {
	a, b         Stored
	lambda, norm *safetensors.Tensor

	once  sync.Once
	scale []float32 // d
	err   error
}

var _ Matrix = (*unitRows)(nil)

// Size implements Matrix.
func (m *unitRows) Size() (rows, cols int64) { return m.a.Size() }

// Check implements Matrix.
func (m *unitRows) Check() error {
	for _, s := range []Stored{m.a, m.b} {
		if err := s.Check(); err != nil {
			return err
		}
	}
	rank, in := m.a.Size()
	if out, r := m.b.Size(); r != rank {
		return contradiction(m.b.Tensor, m.a.Tensor, []int64{out, rank})
	}
	if product(m.lambda.Shape) != 1 {
		return &ShapeError{Other: m.lambda.Name, Got: m.lambda.Shape, Want: []int64{1}}
	}
	if product(m.norm.Shape) != in {
		return contradiction(m.norm, m.a.Tensor, []int64{in})
	}
	return needFloats(m.lambda, m.norm)
}

// Area implements Matrix.
func (m *unitRows) Area(dst []float32, b Block) error {
	if m.once.Do(func() { m.scale, m.err = m.scales() }); m.err != nil {
		return m.err
	}
	if err := m.a.Area(dst, b); err != nil {
		return err
	}
	s := getScratch()
	defer s.release()
	s.right = grow(s.right, int(b.Cols))
	if err := ReadFloats(s.right, m.norm, b.Col); err != nil {
		return err
	}
	for i := range b.Rows {
		row := dst[i*b.Cols:][:b.Cols]
		for j, norm := range s.right {
			row[j] = m.scale[b.Row+i] * row[j] * norm
		}
	}
	return nil
}

// scales is d.
func (m *unitRows) scales() ([]float32, error) {
	rank, in := m.a.Size()
	out, _ := m.b.Size()
	ofA, ofB := make([]float64, rank), make([]float64, rank)
	s := getScratch()
	defer s.release()
	squares := func(t Stored, rows, cols int64, add func(i, j int64, square float64)) error {
		s.wide = grow(s.wide, int(cols))
		for i := range rows {
			if err := t.Area(s.wide, Block{i, 1, 0, cols}); err != nil {
				return err
			}
			for j, x := range s.wide {
				add(i, int64(j), float64(x)*float64(x))
			}
		}
		return nil
	}
	if err := squares(m.a, rank, in, func(i, _ int64, x float64) { ofA[i] += x }); err != nil {
		return nil, err
	}
	if err := squares(m.b, out, rank, func(_, j int64, x float64) { ofB[j] += x }); err != nil {
		return nil, err
	}
	var lambda [1]float32
	if err := ReadFloats(lambda[:], m.lambda, 0); err != nil {
		return nil, err
	}
	scale := make([]float32, rank)
	for i := range scale {
		a := max(float32(math.Sqrt(ofA[i])), 1e-4)
		b := max(float32(math.Sqrt(ofB[i])), 1e-4)
		scale[i] = lambda[0] / float32(rank) / (a * b)
	}
	return scale, nil
}

// Tensors implements Matrix.
func (m *unitRows) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{m.a.Tensor, m.lambda, m.norm}
}

// Norm implements Matrix.
func (m *unitRows) Norm(of func(*safetensors.Tensor) float64) float64 {
	return of(m.lambda) * of(m.norm) * of(m.a.Tensor) * 1e8
}
