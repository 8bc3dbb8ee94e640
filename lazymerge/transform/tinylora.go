package transform

import (
	"context"
	"math"

	"lorafs/lazymerge/transform/torchrand"
	"lorafs/safetensors"
)

// Weighted is the sum of matrices that a tensor holds one after the other, each times
// an element of a vector: Σ V[i]·P[i].
type Weighted struct {
	V *safetensors.Tensor // [u]
	P *safetensors.Tensor // [u, rows, cols]
}

var _ Matrix = Weighted{}

// Size implements Matrix.
func (m Weighted) Size() (rows, cols int64) {
	if len(m.P.Shape) != 3 {
		return 0, 0
	}
	return m.P.Shape[1], m.P.Shape[2]
}

// Check implements Matrix.
func (m Weighted) Check() error {
	if len(m.P.Shape) != 3 {
		return &ShapeError{Other: m.P.Name, Got: m.P.Shape, Want: []int64{-1, -1, -1}}
	}
	if len(m.V.Shape) != 1 || m.V.Shape[0] != m.P.Shape[0] {
		return &ShapeError{Other: m.V.Name, Got: m.V.Shape, Want: m.P.Shape[:1]}
	}
	return needFloats(m.V, m.P)
}

// Area implements Matrix.
func (m Weighted) Area(dst []float32, b Block) error {
	rows, cols := m.Size()
	s := getScratch()
	defer s.release()
	s.left = grow(s.left, int(m.V.Shape[0]))
	if err := ReadFloats(s.left, m.V, 0); err != nil {
		return err
	}
	clear(dst[:b.size()])
	s.right = grow(s.right, int(b.Cols))
	for k, v := range s.left {
		for i := range b.Rows {
			if err := ReadFloats(s.right, m.P, (int64(k)*rows+b.Row+i)*cols+b.Col); err != nil {
				return err
			}
			out := dst[i*b.Cols:][:b.Cols]
			for j, x := range s.right {
				out[j] += v * x
			}
		}
	}
	return nil
}

// Tensors implements Matrix.
func (m Weighted) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{m.V, m.P} }

// Norm implements Matrix.
func (m Weighted) Norm(of func(*safetensors.Tensor) float64) float64 { return of(m.V) * of(m.P) }

// TinyDraws tells a layer's place among those of an adapter by what its projections P
// [u, r, r] were drawn from: the place is added to the seed (peft
// tuners/tinylora/layer.py:246 @0.21.2).
type TinyDraws struct {
	Seed   int64
	Layers int

	first map[int64][][tinyLook]float32 // by elements of P: of each place, the first
}

// tinyLook is how many elements are compared.
const tinyLook = 8

// Place is the place whose draw p is, but for rounding. ok is false when there is none
// or more than one.
func (d *TinyDraws) Place(p *safetensors.Tensor) (place int, ok bool, err error) {
	if s := p.Shape; len(s) != 3 || s[1] != s[2] || product(s) == 0 {
		return 0, false, &ShapeError{Other: p.Name, Got: s, Want: []int64{-1, -1, -1}}
	}
	if err := needFloats(p); err != nil {
		return 0, false, err
	}
	// From twice a batch on the first elements do not depend on how many follow.
	n := min(product(p.Shape), 32)
	if err := d.draw(n); err != nil {
		return 0, false, err
	}
	var have [tinyLook]float32
	look := min(n, tinyLook)
	if err := ReadFloats(have[:look], p, 0); err != nil {
		return 0, false, err
	}
	std := 1 / math.Sqrt(float64(p.Shape[1]))
	for i, want := range d.first[n] {
		if !alike(have[:look], want[:look], std) {
			continue
		}
		if ok {
			return 0, false, nil
		}
		place, ok = i, true
	}
	return place, ok, nil
}

// alike allows for values that were rounded to 16 bits.
func alike(have, want []float32, std float64) bool {
	for i, x := range want {
		if w := float64(x) * std; math.Abs(float64(have[i])-w) > 0.01*math.Abs(w)+1e-4*std {
			return false
		}
	}
	return true
}

func (d *TinyDraws) draw(n int64) error {
	if d.first == nil {
		d.first = make(map[int64][][tinyLook]float32)
	}
	if d.first[n] != nil {
		return nil
	}
	all := make([][tinyLook]float32, d.Layers)
	for i := range all {
		err := torchrand.New(d.Seed+int64(i)).Normal(context.Background(), n, 1, func(j int64, x float32) {
			if j < tinyLook {
				all[i][j] = x
			}
		})
		if err != nil {
			return err
		}
	}
	d.first[n] = all
	return nil
}
