package transform

import (
	"math"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// Circulant is a matrix of circulant blocks b×b of a kernel [m, n, b]: element
// (x·b+j, y·b+i) is Kernel[x, y, (i−j) mod b] (peft tuners/c3a/utils.py:19 @0.21.2,
// which gets there by Fourier transforms).
type Circulant struct{ Kernel *safetensors.Tensor }

var _ Matrix = Circulant{}

// Size implements Matrix.
func (m Circulant) Size() (rows, cols int64) {
	if s := m.Kernel.Shape; len(s) == 3 {
		return s[0] * s[2], s[1] * s[2]
	}
	return 0, 0
}

// Check implements Matrix.
func (m Circulant) Check() error {
	if len(m.Kernel.Shape) != 3 {
		return &ShapeError{Other: m.Kernel.Name, Got: m.Kernel.Shape, Want: []int64{-1, -1, -1}}
	}
	return needFloats(m.Kernel)
}

// Area implements Matrix.
func (m Circulant) Area(dst []float32, b Block) error {
	blocks, size := m.Kernel.Shape[1], m.Kernel.Shape[2]
	s := getScratch()
	defer s.release()
	first := b.Col / size
	count := (b.Col+b.Cols-1)/size - first + 1
	s.right = grow(s.right, int(count*size))
	for i := range b.Rows {
		row := b.Row + i
		if i == 0 || row%size == 0 {
			if err := ReadFloats(s.right, m.Kernel, (row/size*blocks+first)*size); err != nil {
				return err
			}
		}
		out := dst[i*b.Cols:][:b.Cols]
		for j := range out {
			col := b.Col + int64(j)
			out[j] = s.right[(col/size-first)*size+(col%size-row%size+size)%size]
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m Circulant) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.Kernel} }

// Norm implements Matrix: each value occurs in all rows of its block.
func (m Circulant) Norm(of func(*safetensors.Tensor) float64) float64 {
	size := 1.0
	if len(m.Kernel.Shape) == 3 {
		size = float64(m.Kernel.Shape[2])
	}
	return of(m.Kernel) * math.Sqrt(size)
}

// Quotient is Of with each element divided by By.
type Quotient struct {
	Of Matrix
	By float32
}

// Size implements Matrix.
func (m Quotient) Size() (rows, cols int64) { return m.Of.Size() }

// Check implements Matrix.
func (m Quotient) Check() error { return m.Of.Check() }

// Area implements Matrix.
func (m Quotient) Area(dst []float32, b Block) error {
	if err := m.Of.Area(dst, b); err != nil {
		return err
	}
	for i := range dst[:b.size()] {
		dst[i] /= m.By
	}
	return nil
}

// Tensors implements Matrix.
func (m Quotient) Tensors() []*safetensors.Tensor { return m.Of.Tensors() }

// Norm implements Matrix.
func (m Quotient) Norm(of func(*safetensors.Tensor) float64) float64 {
	return m.Of.Norm(of) / float64(m.By)
}

// C3A adds a circulant matrix divided by the number of inputs, W' = rd(W + rd(rd(C)/in))
// (peft tuners/c3a/layer.py:50 @0.21.2).
type C3A struct {
	Kernel *safetensors.Tensor // [out/b, in/b, b]
	Class  Class
}

var _ Transform = C3A{}

// Describe implements Transform.
func (c C3A) Describe() Description { return c.addition(Circulant{c.Kernel}).Describe() }

// Tensors implements Transform.
func (c C3A) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{c.Kernel} }

// Range implements Ranged.
func (c C3A) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return c.addition(Circulant{c.Kernel}).Range(norm)
}

func (c C3A) addition(of Matrix) Addition {
	_, inputs := of.Size()
	return Addition{Type: "c3a", Delta: Quotient{of, float32(max(inputs, 1))}, Scale: 1, Class: c.Class}
}

// Bind implements Transform.
func (c C3A) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	circulant := Circulant{c.Kernel}
	if dtype == kernel.F32 || !c.Class.Twice(r) {
		return c.addition(circulant).Bind(p, r)
	}
	return c.addition(Rounded{circulant, dtype}).Bind(p, r)
}
