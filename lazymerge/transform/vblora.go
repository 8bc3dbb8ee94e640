package transform

import (
	"math"

	"lorafs/safetensors"
)

// Mixture is a matrix of pieces, each a weighted sum of some rows of a bank that all
// modules share (peft tuners/vblora/layer.py:182 @0.21.2). A piece lies along a row, or
// along a column when Standing.
type Mixture struct {
	Bank     *safetensors.Tensor // [n, length]
	K        int64               // rows in a sum
	Standing bool

	// Logits tell the K greatest and their softmax.
	Logits *safetensors.Tensor // [x, y, n]
	// Else the rows and their weights were saved, but for the last weight, which is
	// what is left of 1.
	Indices, Weights *safetensors.Tensor // [x, y, K], [x, y, K-1]
}

var _ Matrix = Mixture{}

// choices is the tensor with an entry for each piece.
func (m Mixture) choices() *safetensors.Tensor {
	if m.Logits != nil {
		return m.Logits
	}
	return m.Indices
}

func (m Mixture) pieces() (x, y, length int64) {
	if s := m.choices().Shape; len(s) == 3 && len(m.Bank.Shape) == 2 {
		return s[0], s[1], m.Bank.Shape[1]
	}
	return 0, 0, 0
}

// Size implements Matrix.
func (m Mixture) Size() (rows, cols int64) {
	x, y, length := m.pieces()
	if m.Standing {
		return x * length, y
	}
	return x, y * length
}

// Check implements Matrix.
func (m Mixture) Check() error {
	if len(m.Bank.Shape) != 2 || m.Bank.Shape[0] < m.K || m.Bank.Shape[1] == 0 {
		return &ShapeError{Other: m.Bank.Name, Got: m.Bank.Shape, Want: []int64{m.K, -1}}
	}
	last := m.K
	if m.Logits != nil {
		last = m.Bank.Shape[0]
	}
	c := m.choices()
	if len(c.Shape) != 3 || c.Shape[2] != last {
		return &ShapeError{Other: c.Name, Got: c.Shape, Want: []int64{-1, -1, last}}
	}
	if m.Logits != nil {
		return needFloats(m.Bank, m.Logits)
	}
	if want := []int64{c.Shape[0], c.Shape[1], m.K - 1}; len(m.Weights.Shape) != 3 || product(m.Weights.Shape) != product(want) ||
		m.Weights.Shape[0] != want[0] || m.Weights.Shape[1] != want[1] {
		return &ShapeError{Other: m.Weights.Name, Got: m.Weights.Shape, Want: want}
	}
	if err := needFloats(m.Bank, m.Weights); err != nil {
		return err
	}
	return checkIndices(m.Indices, m.Bank)
}

// Area implements Matrix.
func (m Mixture) Area(dst []float32, b Block) error {
	_, y, length := m.pieces()
	along, across := b, b.Cols
	if m.Standing {
		along = b.Turned()
	}
	s := getScratch()
	defer s.release()
	s.sums = grow(s.sums, int(length))
	for i := along.Row; i < along.Row+along.Rows; i++ {
		for j := along.Col / length; j*length < along.Col+along.Cols; j++ {
			at := i*y + j
			if m.Standing {
				at = j*y + i
			}
			if err := m.piece(s, at); err != nil {
				return err
			}
			from, to := max(j*length, along.Col), min((j+1)*length, along.Col+along.Cols)
			for e := from; e < to; e++ {
				if m.Standing {
					dst[(e-b.Row)*across+i-b.Col] = s.sums[e-j*length]
				} else {
					dst[(i-b.Row)*across+e-b.Col] = s.sums[e-j*length]
				}
			}
		}
	}
	return nil
}

// piece sets s.sums to a sum of rows of the bank.
func (m Mixture) piece(s *scratch, at int64) error {
	if err := m.choose(s, at); err != nil {
		return err
	}
	clear(s.sums)
	s.right = grow(s.right, len(s.sums))
	for k, row := range s.picks {
		if err := ReadFloats(s.right, m.Bank, row*int64(len(s.sums))); err != nil {
			return err
		}
		for i, x := range s.right {
			s.sums[i] += float32(s.left[k] * x)
		}
	}
	return nil
}

// choose sets s.picks to rows of the bank and s.left to their weights.
func (m Mixture) choose(s *scratch, at int64) error {
	s.picks = grow(s.picks, int(m.K))
	s.left = grow(s.left, int(m.K))
	if m.Logits == nil {
		if err := readIndices(s.picks, m.Indices, at*m.K); err != nil {
			return err
		}
		return m.weigh(s.left, at)
	}
	n := m.Bank.Shape[0]
	s.turn = grow(s.turn, int(n))
	if err := ReadFloats(s.turn, m.Logits, at*n); err != nil {
		return err
	}
	s.queue = greatest(s.picks, s.left, s.turn, s.queue)
	softmax(s.left)
	return nil
}

func (m Mixture) weigh(weights []float32, at int64) error {
	last := len(weights) - 1
	if last > 0 {
		if err := ReadFloats(weights[:last], m.Weights, at*int64(last)); err != nil {
			return err
		}
	}
	var sum float32
	for _, w := range weights[:last] {
		sum += w
	}
	weights[last] = max(1-sum, 0) // rounding may leave less than nothing
	return nil
}

// softmax of values in falling order.
func softmax(x []float32) {
	var sum float32
	first := x[0]
	for i := range x {
		x[i] = float32(math.Exp(float64(x[i] - first)))
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}

// Tensors implements Matrix.
func (m Mixture) Tensors() []*safetensors.Tensor {
	if m.Logits != nil {
		return []*safetensors.Tensor{m.Logits, m.Bank}
	}
	return []*safetensors.Tensor{m.Indices, m.Weights, m.Bank}
}

// Norm implements Matrix: no piece is longer than the longest row of the bank.
func (m Mixture) Norm(of func(*safetensors.Tensor) float64) float64 {
	x, y, _ := m.pieces()
	return math.Sqrt(float64(x)*float64(y)) * of(m.Bank)
}
