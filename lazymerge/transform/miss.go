package transform

import (
	"math"

	"lorafs/safetensors"
)

// Tiles is MiSS's delta: element [o, i] is Block[i mod r, o mod n] for a block [r, n],
// where n is the number of outputs or, in the form "mini", a divisor of it (peft
// tuners/miss/layer.py:271 @0.21.2).
type Tiles struct {
	Block   *safetensors.Tensor
	Out, In int64
}

var _ Matrix = Tiles{}

// Size implements Matrix.
func (m Tiles) Size() (rows, cols int64) { return m.Out, m.In }

// Check implements Matrix.
func (m Tiles) Check() error {
	if len(m.Block.Shape) != 2 || m.Block.Shape[0] == 0 || m.Block.Shape[1] == 0 || m.Out%m.Block.Shape[1] != 0 {
		return &ShapeError{Other: m.Block.Name, Got: m.Block.Shape, Want: []int64{-1, m.Out}}
	}
	return needFloats(m.Block)
}

// Area implements Matrix.
func (m Tiles) Area(dst []float32, b Block) error {
	r, n := m.Block.Shape[0], m.Block.Shape[1]
	s := getScratch()
	defer s.release()
	// The block's columns of the first rows, as many as differ.
	rows := min(b.Rows, n)
	s.left = grow(s.left, int(r*rows))
	for k := range r {
		for i := range rows {
			// A stretch of columns ends where they begin anew.
			col := (b.Row + i) % n
			if i > 0 && col != 0 {
				continue
			}
			run := min(n-col, rows-i)
			if err := ReadFloats(s.left[k*rows+i:][:run], m.Block, k*n+col); err != nil {
				return err
			}
		}
	}
	for i := range b.Rows {
		for j := range b.Cols {
			dst[i*b.Cols+j] = s.left[(b.Col+j)%r*rows+i%rows]
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m Tiles) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.Block} }

// Norm implements Matrix.
func (m Tiles) Norm(of func(*safetensors.Tensor) float64) float64 {
	return of(m.Block) * math.Sqrt(float64(max(m.Out, 1))*float64(max(m.In, 1)))
}

// MiSS adds a block to every stretch of inputs (peft tuners/miss/layer.py:162 @0.21.2).
type MiSS struct {
	Block *safetensors.Tensor
	Class Class
}

var _ Transform = MiSS{}

// Describe implements Transform.
func (m MiSS) Describe() Description {
	return Description{Type: "miss", Rank: int(m.Block.Shape[0])}
}

// Tensors implements Transform.
func (m MiSS) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.Block} }

// Range implements Ranged.
func (m MiSS) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return norm(m.Block), 1 // an element of the delta is one of the block
}

// Bind implements Transform.
func (m MiSS) Bind(p Param, r Rounding) (Bound, error) {
	out, in := flatten(p.Shape)
	return Addition{Type: "miss", Delta: Tiles{m.Block, out, in}, Scale: 1, Class: m.Class}.Bind(p, r)
}

// MiSSBat is MiSS in the form "bat": W in r×r blocks W[o, i] becomes W + W·B[o] + B[o]
// for a block B[out/r, r, r] (peft tuners/miss/layer.py:230 @0.21.2).
type MiSSBat struct{ Block *safetensors.Tensor }

var _ Transform = MiSSBat{}

// Describe implements Transform.
func (m MiSSBat) Describe() Description {
	return Description{Type: "miss", Rank: int(m.Block.Shape[len(m.Block.Shape)-1])}
}

// Tensors implements Transform.
func (m MiSSBat) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.Block} }

// Range implements Ranged.
func (m MiSSBat) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	n := norm(m.Block)
	return n, 1 + n*math.Sqrt(float64(m.Describe().Rank))
}

// Bind implements Transform.
func (m MiSSBat) Bind(p Param, _ Rounding) (Bound, error) {
	if err := needFloats(m.Block); err != nil {
		return nil, err
	}
	rows, cols := flatten(p.Shape)
	shape := m.Block.Shape
	if len(shape) != 3 || shape[1] != shape[2] || shape[1] == 0 || len(p.Shape) != 2 ||
		shape[0]*shape[1] != rows || cols%shape[1] != 0 {
		return nil, shapeError(p, m.Block, []int64{-1, -1, -1})
	}
	return newMapping(p, 1, m.change(cols))
}

func (m MiSSBat) change(cols int64) change {
	r := m.Block.Shape[1]
	return func(s *scratch, w []float32, lo, hi int64) error {
		s.right = grow(s.right, int(r))
		for at := lo; at < hi; at++ {
			block, err := s.read(m.Block, at/r*r*r, (at/r+1)*r*r)
			if err != nil {
				return err
			}
			row := w[(at-lo)*cols:][:cols]
			for ; len(row) > 0; row = row[r:] {
				multiply(s.right, row[:r], block, int(r), int(r))
				for j, x := range s.right {
					row[j] += x + block[at%r*r+int64(j)]
				}
			}
		}
		return nil
	}
}
