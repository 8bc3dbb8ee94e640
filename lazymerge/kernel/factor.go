package kernel

import (
	"encoding/binary"
	"unsafe"
)

// headerBytes precede the values of a packed factor; 64 keeps them aligned.
const headerBytes = 64

// Factor is a packed right factor of Rank rows and Cols columns: a view of bytes that
// a Packer filled.
type Factor struct {
	Rank, Cols int
	values     []pairA // for each panel, its pairs of k
	grain      grain
}

// PackSize is the number of bytes of a packed factor.
func PackSize(rank, cols int) int64 {
	return headerBytes + int64(unsafe.Sizeof(pairA{}))*int64(pairs(rank))*int64(panels(cols))
}

// View reads a packed factor. packed has PackSize bytes, at an address that is a
// multiple of 4, and must not change while the Factor is in use.
func View(packed []byte, rank, cols int) Factor {
	packed = packed[:PackSize(rank, cols)]
	f := Factor{Rank: rank, Cols: cols, grain: grain{
		mantissa: binary.LittleEndian.Uint32(packed),
		least:    binary.LittleEndian.Uint32(packed[4:]),
		most:     binary.LittleEndian.Uint32(packed[8:]),
	}}
	if n := pairs(rank) * panels(cols); n > 0 {
		f.values = unsafe.Slice((*pairA)(unsafe.Pointer(&packed[headerBytes])), n)
	}
	return f
}

// set is A[k,j] = x.
func (f *Factor) set(k, j int, x float32) {
	f.values[j/panel*pairs(f.Rank)+k/2][k%2*panel+j%panel] = f.grain.canon(x)
}

// Packer fills a packed factor, by rows or by columns.
type Packer struct {
	head   []byte
	factor Factor
}

// NewPacker begins a factor of rank rows and cols columns in dst (see View).
func NewPacker(dst []byte, rank, cols int) *Packer {
	clear(dst[:PackSize(rank, cols)])
	p := &Packer{head: dst[:headerBytes], factor: View(dst, rank, cols)}
	p.factor.grain = newGrain()
	return p
}

// Row sets A[k, from : from+len(row)].
func (p *Packer) Row(k, from int, row []float32) {
	for j, x := range row {
		p.factor.set(k, from+j, x)
	}
}

// Column sets A[:, j].
func (p *Packer) Column(j int, col []float32) {
	for k, x := range col {
		p.factor.set(k, j, x)
	}
}

// Finish completes the packed bytes.
func (p *Packer) Finish() {
	binary.LittleEndian.PutUint32(p.head, p.factor.grain.mantissa)
	binary.LittleEndian.PutUint32(p.head[4:], p.factor.grain.least)
	binary.LittleEndian.PutUint32(p.head[8:], p.factor.grain.most)
}
