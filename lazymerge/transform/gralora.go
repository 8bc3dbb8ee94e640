package transform

import "lorafs/safetensors"

// Grains is GraLoRA's delta: k·k blocks, block (j, n) of outputs and inputs is
// Σ_t B[j, n·q+t, o]·A[n, i, j·q+t] over the q = r/k terms of its own (peft
// tuners/gralora/layer.py:235 @0.21.2).
type Grains struct {
	A *safetensors.Tensor // [k, in/k, r]
	B *safetensors.Tensor // [k, r, out/k]
}

var _ Matrix = Grains{}

// Size implements Matrix.
func (m Grains) Size() (rows, cols int64) {
	if len(m.A.Shape) != 3 || len(m.B.Shape) != 3 {
		return 0, 0
	}
	return m.B.Shape[0] * m.B.Shape[2], m.A.Shape[0] * m.A.Shape[1]
}

// Check implements Matrix.
func (m Grains) Check() error {
	if len(m.A.Shape) != 3 || m.A.Shape[0] == 0 || m.A.Shape[2]%m.A.Shape[0] != 0 {
		return &ShapeError{Other: m.A.Name, Got: m.A.Shape, Want: []int64{-1, -1, -1}}
	}
	if len(m.B.Shape) != 3 || m.B.Shape[0] != m.A.Shape[0] || m.B.Shape[1] != m.A.Shape[2] {
		return &ShapeError{Other: m.B.Name, Got: m.B.Shape, Want: []int64{m.A.Shape[0], m.A.Shape[2], -1}}
	}
	return needFloats(m.A, m.B)
}

// Area implements Matrix.
func (m Grains) Area(dst []float32, b Block) error {
	k, in, r := m.A.Shape[0], m.A.Shape[1], m.A.Shape[2]
	out, q := m.B.Shape[2], r/k
	s := getScratch()
	defer s.release()
	s.left = grow(s.left, int(b.Cols*r))
	if err := ReadFloats(s.left, m.A, b.Col*r); err != nil {
		return err
	}
	s.right = grow(s.right, int(b.Rows*r))
	if err := m.outputs(s, b); err != nil {
		return err
	}
	for i := range b.Rows {
		j := (b.Row + i) / out
		of := s.right[i*r:][:r]
		for c := range b.Cols {
			n := (b.Col + c) / in
			terms := of[n*q:][:q]
			var sum float32
			for t, x := range s.left[c*r+j*q:][:q] {
				sum += float32(x * terms[t])
			}
			dst[i*b.Cols+c] = sum
		}
	}
	return nil
}

// outputs sets s.right to the r elements of B for each row of the block.
func (m Grains) outputs(s *scratch, b Block) error {
	r, out := m.B.Shape[1], m.B.Shape[2]
	for i := int64(0); i < b.Rows; {
		j, o := (b.Row+i)/out, (b.Row+i)%out
		n := min(out-o, b.Rows-i) // rows in one block
		s.wide = grow(s.wide, int(n))
		for e := range r {
			if err := ReadFloats(s.wide, m.B, (j*r+e)*out+o); err != nil {
				return err
			}
			for at, x := range s.wide {
				s.right[(i+int64(at))*r+e] = x
			}
		}
		i += n
	}
	return nil
}

// Tensors implements Matrix.
func (m Grains) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.B, m.A} }

// Norm implements Matrix.
func (m Grains) Norm(of func(*safetensors.Tensor) float64) float64 { return of(m.A) * of(m.B) }

// Sum is the sum of two matrices of one size.
type Sum struct{ X, Y Matrix }

// Size implements Matrix.
func (m Sum) Size() (rows, cols int64) { return m.X.Size() }

// Check implements Matrix.
func (m Sum) Check() error { return Hadamard(m).Check() }

// Area implements Matrix.
func (m Sum) Area(dst []float32, b Block) error {
	s := getScratch()
	defer s.release()
	if err := Hadamard(m).areas(s, dst, b); err != nil {
		return err
	}
	for i, y := range s.sums {
		dst[i] += y
	}
	return nil
}

// Tensors implements Matrix.
func (m Sum) Tensors() []*safetensors.Tensor { return append(m.X.Tensors(), m.Y.Tensors()...) }

// Norm implements Matrix.
func (m Sum) Norm(of func(*safetensors.Tensor) float64) float64 {
	return m.X.Norm(of) + m.Y.Norm(of)
}
