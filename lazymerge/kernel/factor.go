package kernel

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"unsafe"
)

// A packed factor is a header, then panels of 32 columns: for each k the 16 even
// columns, then the 16 odd ones. So the two halves of a 32-bit word of bf16 weights
// meet sums in two registers, without a permutation. Zeros fill the last columns up to
// a multiple of 64, the widest tile.
const (
	headerBytes = 64 // keeps the values aligned
	panel       = 32
	widest      = 64
)

// position is where a panel keeps column j.
func position(j int) int { return j%2*(panel/2) + j%panel/2 }

// Factor is a packed right factor of Rank rows and Cols columns: a view of bytes that
// a Packer filled.
type Factor struct {
	Rank, Cols int
	values     []float32
	grain      grain
	serial     uint64
}

func packedValues(rank, cols int) int {
	return rank * ((cols + widest - 1) / widest * widest)
}

// PackSize is the number of bytes of a packed factor.
func PackSize(rank, cols int) int64 {
	return headerBytes + 4*int64(packedValues(rank, cols))
}

// View reads a packed factor. packed has PackSize bytes, at an address that is a
// multiple of 4, and must not change while the Factor is in use.
func View(packed []byte, rank, cols int) Factor {
	packed = packed[:PackSize(rank, cols)]
	f := Factor{Rank: rank, Cols: cols, grain: grain{
		mantissa: binary.LittleEndian.Uint32(packed),
		least:    binary.LittleEndian.Uint32(packed[4:]),
		most:     binary.LittleEndian.Uint32(packed[8:]),
	}, serial: binary.LittleEndian.Uint64(packed[16:])}
	if n := packedValues(rank, cols); n > 0 {
		f.values = unsafe.Slice((*float32)(unsafe.Pointer(&packed[headerBytes])), n)
	}
	return f
}

// from holds the values from column j on, a multiple of 16, and k 0.
func (f *Factor) from(j int) []float32 {
	return f.values[j/panel*panel*f.Rank+position(j):]
}

// Packer fills a packed factor, by rows or by columns.
type Packer struct {
	head   []byte
	factor Factor
}

// NewPacker begins a factor of rank rows and cols columns in dst (see View).
func NewPacker(dst []byte, rank, cols int) *Packer {
	p := &Packer{head: dst[:headerBytes], factor: View(dst, rank, cols)}
	p.factor.grain = newGrain()
	clear(p.head)
	clear(p.factor.values[cols/panel*panel*rank:])
	return p
}

// Row sets A[k, from : from+len(row)].
func (p *Packer) Row(k, from int, row []float32) {
	f := &p.factor
	for len(row) > 0 {
		dst := f.values[(from/panel*f.Rank+k)*panel:][:panel]
		n := min(panel-from%panel, len(row))
		if n == panel {
			f.grain.spread((*[panel]float32)(dst), (*[panel]float32)(row))
		} else {
			for i, x := range row[:n] {
				dst[position(from+i)] = f.grain.keep(x)
			}
		}
		row, from = row[n:], from+n
	}
}

// Column sets A[:, j].
func (p *Packer) Column(j int, col []float32) {
	f := &p.factor
	dst := f.values[j/panel*panel*f.Rank+position(j):]
	for k, x := range col {
		dst[k*panel] = f.grain.keep(x)
	}
}

// packings counts the factors that were finished: equal numbers mean equal values.
var packings atomic.Uint64

// Finish completes the packed bytes.
func (p *Packer) Finish() {
	binary.LittleEndian.PutUint32(p.head, p.factor.grain.mantissa)
	binary.LittleEndian.PutUint32(p.head[4:], p.factor.grain.least)
	binary.LittleEndian.PutUint32(p.head[8:], p.factor.grain.most)
	binary.LittleEndian.PutUint64(p.head[16:], packings.Add(1))
}

// keep is x as packed, noted in g.
func (g *grain) keep(x float32) float32 {
	b := canon(math.Float32bits(x))
	g.note(b)
	return math.Float32frombits(b)
}

// spread packs a panel's row. Most values are ordinary: those are noted without
// branches.
func (g *grain) spread(dst, src *[panel]float32) {
	mantissa, least, most := uint32(0), uint32(math.MaxUint32), uint32(0)
	even, odd := (*[panel / 2]float32)(dst[:]), (*[panel / 2]float32)(dst[panel/2:])
	for i := range even {
		x, y := src[2*i], src[2*i+1]
		even[i], odd[i] = x, y
		u, v := math.Float32bits(x), math.Float32bits(y)
		mantissa |= u | v
		least = min(least, min(u<<1, v<<1))
		most = max(most, max(u<<1, v<<1))
	}
	if least < 1<<24 || most >= 255<<24 {
		for i, x := range src {
			dst[position(i)] = g.keep(x)
		}
		return
	}
	g.mantissa |= mantissa & 0x7fffff
	g.least, g.most = min(g.least, least>>24), max(g.most, most>>24)
}
