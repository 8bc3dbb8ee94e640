package transform

import "lorafs/safetensors"

// RandLoRA adds Scale·(B·S) or its transpose, where S is a random basis A that was
// scaled in as many ways as give it full rank (peft tuners/randlora/layer.py:262
// @0.21.2). All layers share A and B and take what they need; A is on the smaller side
// of the layer.
type RandLoRA struct {
	Lambda *safetensors.Tensor // [r, bases]
	Gamma  *safetensors.Tensor // [bases, smaller side]
	A      *safetensors.Tensor // [r, 1, smallest side or more]
	B      *safetensors.Tensor // [largest side, most bases, r]
	Scale  float64
	Class  Class
}

var _ Transform = RandLoRA{}

// Describe implements Transform.
func (t RandLoRA) Describe() Description {
	rank, _ := flatten(t.Lambda.Shape)
	return Description{Type: "randlora", Rank: int(rank), Scaling: t.Scale}
}

// Tensors implements Transform.
func (t RandLoRA) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{t.Lambda, t.Gamma, t.A, t.B}
}

// Range implements Ranged.
func (t RandLoRA) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return abs(t.Scale) * t.scaled().Norm(norm) * norm(t.B), 1
}

func (t RandLoRA) scaled() Bases { return Bases{Lambda: t.Lambda, Gamma: t.Gamma, A: t.A} }

// Bind implements Transform.
func (t RandLoRA) Bind(p Param, r Rounding) (Bound, error) {
	scaled := t.scaled()
	if err := scaled.Check(); err != nil {
		return nil, about(err, p)
	}
	inner, _ := scaled.Size()
	rows, cols := flatten(p.Shape)
	f := Factors{Type: "randlora", Scale: t.Scale, Class: t.Class}
	f.A, f.B = Matrix(scaled), Matrix(Part{Stored{t.B}, max(rows, cols), inner})
	if in, out := p.inOut(); in > out {
		f.A, f.B = Turned{f.B}, Turned{f.A}
	}
	return f.Bind(p, r)
}

// inOut is the number of inputs and outputs of a linear layer whose weight p is.
func (p Param) inOut() (in, out int64) {
	rows, cols := flatten(p.Shape)
	if p.Conv1D {
		return rows, cols
	}
	return cols, rows
}

// Bases is row i·bases+n = Lambda[i, n]·A[i]∘Gamma[n].
type Bases struct{ Lambda, Gamma, A *safetensors.Tensor }

var _ Matrix = Bases{}

// Size implements Matrix.
func (m Bases) Size() (rows, cols int64) {
	_, cols = flatten(m.Gamma.Shape)
	return product(m.Lambda.Shape), cols
}

// Check implements Matrix.
func (m Bases) Check() error {
	if len(m.Lambda.Shape) != 2 {
		return &ShapeError{Other: m.Lambda.Name, Got: m.Lambda.Shape, Want: []int64{-1, -1}}
	}
	r, bases := flatten(m.Lambda.Shape)
	if len(m.Gamma.Shape) != 2 || m.Gamma.Shape[0] != bases {
		return &ShapeError{Other: m.Gamma.Name, Got: m.Gamma.Shape, Want: []int64{bases, -1}}
	}
	if rows, cols := flatten(m.A.Shape); len(m.A.Shape) != 3 || rows != r || m.A.Shape[1] != 1 || cols < m.Gamma.Shape[1] {
		return &ShapeError{Other: m.A.Name, Got: m.A.Shape, Want: []int64{r, 1, m.Gamma.Shape[1]}}
	}
	return needFloats(m.Lambda, m.Gamma, m.A)
}

// Area implements Matrix.
func (m Bases) Area(dst []float32, b Block) error {
	_, bases := flatten(m.Lambda.Shape)
	_, most := flatten(m.A.Shape)
	_, cols := m.Size()
	s := getScratch()
	defer s.release()
	s.wide = grow(s.wide, int(b.Rows))
	s.right = grow(s.right, int(b.Cols))
	if err := ReadFloats(s.wide, m.Lambda, b.Row); err != nil {
		return err
	}
	for i, lambda := range s.wide {
		row := b.Row + int64(i)
		out := dst[int64(i)*b.Cols:][:b.Cols]
		if err := ReadFloats(out, m.A, row/bases*most+b.Col); err != nil {
			return err
		}
		if err := ReadFloats(s.right, m.Gamma, row%bases*cols+b.Col); err != nil {
			return err
		}
		for j, gamma := range s.right {
			out[j] = lambda * out[j] * gamma
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m Bases) Tensors() []*safetensors.Tensor {
	return []*safetensors.Tensor{m.Lambda, m.Gamma, m.A}
}

// Norm implements Matrix.
func (m Bases) Norm(of func(*safetensors.Tensor) float64) float64 {
	return of(m.Lambda) * of(m.Gamma) * of(m.A)
}
