package kernel

import (
	"bytes"
	"math"
	"sync"
)

// tier makes shapes a Tier that is available where the machine has the features and
// computes small products like pure Go.
func (s *shapes) tier(name string, present bool) *Tier {
	return &Tier{
		Name:       name,
		Available:  sync.OnceValue(func() bool { return present && s.right() }),
		AddLowRank: s.addLowRank,
		SumRows:    s.sumRows,
		Work:       1 << 27,
	}
}

// right compares a product in each order with pure Go.
func (s *shapes) right() bool {
	return s.rightAt(12) && s.rightAt(9)
}

func (s *shapes) rightAt(rank int) bool {
	const rows, cols = 7, 2*widest + 5
	packed := make([]byte, PackSize(rank, cols))
	for _, mask := range []uint32{0xffffffff, 0xffff0000} {
		value := func(i int) float32 {
			return math.Float32frombits(math.Float32bits(float32(math.Sin(float64(i)))) & mask)
		}
		p := NewPacker(packed, rank, cols)
		for j := range rank * cols {
			p.Row(j/cols, j%cols, []float32{value(j)})
		}
		p.Finish()
		var b Coeffs
		b.Reset(rows, rank)
		col := make([]float32, rows)
		for k := range rank {
			for i := range col {
				col[i] = value(-i*rank - k)
			}
			b.Column(k, col)
		}
		src, got, want := make([]byte, 2*rows*cols), make([]byte, 2*rows*cols), make([]byte, 2*rows*cols)
		for i := range rows * cols {
			le.PutUint16(src[2*i:], toBF16(value(i*i)))
		}
		args := Args{Dst: got, Src: src, A: View(packed, rank, cols), B: &b, Scale: 0.7}
		bad := s.addLowRank(&args)
		args.Dst = want
		if addLowRank(&args) != bad || !bytes.Equal(got, want) {
			return false
		}
	}
	return true
}
