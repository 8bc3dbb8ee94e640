package transform

import "lorafs/safetensors"

// Diagonal is a matrix of blocks along a diagonal, which are stored one below the
// other (peft tuners/lora/variants.py:964 @0.21.2).
type Diagonal struct {
	Of     *safetensors.Tensor // [rows, columns of a block]
	Blocks int64
}

var _ Matrix = Diagonal{}

// Size implements Matrix.
func (m Diagonal) Size() (rows, cols int64) {
	rows, cols = flatten(m.Of.Shape)
	return rows, cols * m.Blocks
}

// Check implements Matrix.
func (m Diagonal) Check() error {
	if len(m.Of.Shape) != 2 || m.Of.Shape[0]%m.Blocks != 0 {
		return &ShapeError{Other: m.Of.Name, Got: m.Of.Shape, Want: []int64{-1, -1}}
	}
	return needFloats(m.Of)
}

// Area implements Matrix.
func (m Diagonal) Area(dst []float32, b Block) error {
	rows, cols := flatten(m.Of.Shape)
	clear(dst[:b.size()])
	for i := range b.Rows {
		row := b.Row + i
		from := row / (rows / m.Blocks) * cols // first column of the row's block
		lo, hi := max(from, b.Col), min(from+cols, b.Col+b.Cols)
		if lo >= hi {
			continue
		}
		if err := ReadFloats(dst[i*b.Cols+lo-b.Col:][:hi-lo], m.Of, row*cols+lo-from); err != nil {
			return err
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m Diagonal) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.Of} }

// Norm implements Matrix.
func (m Diagonal) Norm(of func(*safetensors.Tensor) float64) float64 { return of(m.Of) }
