package transform

import "lorafs/safetensors"

// KernelKron is what torch.kron makes of X[a, c] and of a Y[b, d, k] of three
// dimensions, seen as the weight of a Conv1d: X has its dimensions put before the
// first, so that the halves of rows and of columns change places, and element
// (x·a+i, (y·c+j)·k+z) is Y[x, y, z]·X[i, j]. Adapters were trained with it (peft
// tuners/lokr/layer.py:495 @0.21.2).
type KernelKron struct {
	X Matrix
	Y *safetensors.Tensor
}

var _ Matrix = KernelKron{}

// Size implements Matrix.
func (m KernelKron) Size() (rows, cols int64) {
	a, c := m.X.Size()
	b, d := flatten(m.Y.Shape)
	return a * b, c * d
}

// Check implements Matrix.
func (m KernelKron) Check() error {
	if len(m.Y.Shape) != 3 {
		return &ShapeError{Other: m.Y.Name, Got: m.Y.Shape, Want: []int64{-1, -1, -1}}
	}
	if err := m.X.Check(); err != nil {
		return err
	}
	return needFloats(m.Y)
}

// Area implements Matrix.
func (m KernelKron) Area(dst []float32, b Block) error {
	a, c := m.X.Size()
	k := m.Y.Shape[2]
	s := getScratch()
	defer s.release()
	s.left = grow(s.left, int(c))
	first := b.Col / (c * k)
	s.right = grow(s.right, int(((b.Col+b.Cols-1)/(c*k)-first+1)*k))
	_, width := flatten(m.Y.Shape)
	for i := range b.Rows {
		row := b.Row + i
		if err := m.X.Area(s.left, Block{row % a, 1, 0, c}); err != nil {
			return err
		}
		if err := ReadFloats(s.right, m.Y, row/a*width+first*k); err != nil {
			return err
		}
		out := dst[i*b.Cols:][:b.Cols]
		for j := range out {
			col := b.Col + int64(j)
			out[j] = s.right[(col/(c*k)-first)*k+col%k] * s.left[col/k%c]
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m KernelKron) Tensors() []*safetensors.Tensor { return append(m.X.Tensors(), m.Y) }

// Norm implements Matrix.
func (m KernelKron) Norm(of func(*safetensors.Tensor) float64) float64 {
	return m.X.Norm(of) * of(m.Y)
}
