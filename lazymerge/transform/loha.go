package transform

import "lorafs/safetensors"

// Hada is one of the two low-rank products whose elementwise product is LoHa's delta
// (peft tuners/loha/layer.py:366 @0.21.2): A[out, r]·B[r, in], or with a core T of a
// convolution's kernel Σ A[i, out]·B[j, in]·T[i, j, k…]. T is nil in the first case.
type Hada struct{ A, B, T *safetensors.Tensor }

// Matrix is the product [out, in·k].
func (h Hada) Matrix() Matrix {
	if h.T == nil {
		return Product{Stored{h.A}, Stored{h.B}}
	}
	return Product{Turned{Stored{h.A}}, Core{T: h.T, B: h.B}}
}

// Core is the right factor of a Tucker (CP) decomposition of a convolution: element
// [i, (c, k…)] is Σ_j T[i, j, k…]·B[j, c].
type Core struct {
	T *safetensors.Tensor // [r, r', k…]
	B *safetensors.Tensor // [r', in]
}

var _ Matrix = Core{}

// Size implements Matrix.
func (m Core) Size() (rows, cols int64) {
	if len(m.T.Shape) < 2 || len(m.B.Shape) != 2 {
		return 0, 0
	}
	return m.T.Shape[0], m.B.Shape[1] * product(m.T.Shape[2:])
}

// Check implements Matrix.
func (m Core) Check() error {
	if len(m.T.Shape) < 2 {
		return &ShapeError{Other: m.T.Name, Got: m.T.Shape, Want: []int64{-1, -1, -1, -1}}
	}
	if len(m.B.Shape) != 2 || m.B.Shape[0] != m.T.Shape[1] {
		return contradiction(m.B, m.T, []int64{m.T.Shape[1], -1})
	}
	return needFloats(m.T, m.B)
}

// Area implements Matrix.
func (m Core) Area(dst []float32, b Block) error {
	inner, kernel := m.T.Shape[1], product(m.T.Shape[2:])
	s := getScratch()
	defer s.release()
	first, last := b.Col/kernel, (b.Col+b.Cols-1)/kernel
	channels := last - first + 1
	s.right = grow(s.right, int(inner*channels))
	if err := (Stored{m.B}).Area(s.right, Block{0, inner, first, channels}); err != nil {
		return err
	}
	s.left = grow(s.left, int(inner*kernel))
	for i := range b.Rows {
		if err := ReadFloats(s.left, m.T, (b.Row+i)*inner*kernel); err != nil {
			return err
		}
		for j := range b.Cols {
			c, k := (b.Col+j)/kernel-first, (b.Col+j)%kernel
			var sum float32
			for x := range inner {
				sum += float32(s.left[x*kernel+k] * s.right[x*channels+c])
			}
			dst[i*b.Cols+j] = sum
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m Core) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.T, m.B} }

// Norm implements Matrix.
func (m Core) Norm(of func(*safetensors.Tensor) float64) float64 { return of(m.T) * of(m.B) }
