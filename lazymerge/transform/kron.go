package transform

import "lorafs/safetensors"

// Kron is the Kronecker product of two matrices: element (i·b+k, j·d+l) is
// X[i, j]·Y[k, l], where Y is [b, d] (LoKr; torch.kron over flattened kernels).
type Kron struct{ X, Y Matrix }

var _ Matrix = Kron{}

// Size implements Matrix.
func (m Kron) Size() (rows, cols int64) {
	a, c := m.X.Size()
	b, d := m.Y.Size()
	return a * b, c * d
}

// Check implements Matrix.
func (m Kron) Check() error {
	if err := m.X.Check(); err != nil {
		return err
	}
	return m.Y.Check()
}

// Area implements Matrix. X is the smaller factor of the two in every file that a
// trainer writes, and is read whole for a block's rows.
func (m Kron) Area(dst []float32, b Block) error {
	height, width := m.Y.Size()
	if b.size() == 0 {
		return nil
	}
	x := Block{b.Row / height, (b.Row+b.Rows-1)/height - b.Row/height + 1, b.Col / width, (b.Col+b.Cols-1)/width - b.Col/width + 1}
	s := getScratch()
	defer s.release()
	s.left = grow(s.left, x.size())
	if err := m.X.Area(s.left, x); err != nil {
		return err
	}
	// The rows of Y that the block needs, each at most once.
	first := b.Row % height
	y := Block{first, min(b.Rows, height-first), 0, width}
	if b.Rows > y.Rows {
		y.Row, y.Rows = 0, height
	}
	s.right = grow(s.right, y.size())
	if err := m.Y.Area(s.right, y); err != nil {
		return err
	}
	for i := range b.Rows {
		row := b.Row + i
		of := s.left[(row/height-x.Row)*x.Cols:]
		in := s.right[(row%height-y.Row)*width:][:width]
		spread(dst[i*b.Cols:][:b.Cols], of, in, b.Col%width)
	}
	return nil
}

// spread sets dst to the products of each of the values with all of row, beginning at
// the first value's from-th.
func spread(dst, values, row []float32, from int64) {
	for len(dst) > 0 {
		part := row[from:min(from+int64(len(dst)), int64(len(row)))]
		x := values[0]
		for i, y := range part {
			dst[i] = x * y
		}
		dst, values, from = dst[len(part):], values[1:], 0
	}
}

// Tensors implements Matrix.
func (m Kron) Tensors() []*safetensors.Tensor { return append(m.X.Tensors(), m.Y.Tensors()...) }

// Norm implements Matrix.
func (m Kron) Norm(of func(*safetensors.Tensor) float64) float64 {
	return m.X.Norm(of) * m.Y.Norm(of)
}
