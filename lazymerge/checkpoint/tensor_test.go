package checkpoint

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand"
	"testing"

	"lorafs/safetensors"
)

// numbered is a source whose elements are the numbers of those of the whole tensor.
type numbered struct {
	numbers []uint32
}

func (numbered) Verify(context.Context) error { return nil }

func (n numbered) ReadAt(dst []byte, first int64) error {
	for i := range len(dst) / 4 {
		binary.LittleEndian.PutUint32(dst[4*i:], n.numbers[int(first)+i])
	}
	return nil
}

// cut splits a box at random.
func cut(r *rand.Rand, offsets, sizes []int64, depth int) []chunk {
	d := r.Intn(len(sizes))
	if depth == 0 || sizes[d] < 2 {
		return []chunk{{offsets: offsets, sizes: sizes}}
	}
	at := 1 + r.Int63n(sizes[d]-1)
	with := func(list []int64, v int64) []int64 {
		list = append([]int64(nil), list...)
		list[d] = v
		return list
	}
	return append(cut(r, offsets, with(sizes, at), depth-1), cut(r, with(offsets, offsets[d]+at), with(sizes, sizes[d]-at), depth-1)...)
}

// fillChunk gives a chunk the numbers of its elements.
func fillChunk(c *chunk, grid []int64) {
	var n numbered
	var walk func(d int, at int64)
	walk = func(d int, at int64) {
		if d == len(grid) {
			n.numbers = append(n.numbers, uint32(at))
			return
		}
		for i := range c.sizes[d] {
			walk(d+1, at*grid[d]+c.offsets[d]+i)
		}
	}
	walk(0, 0)
	c.from = n
}

// TestChunks reads tensors that are cut into boxes in all ways, from and to anywhere.
func TestChunks(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	for range 300 {
		grid := make([]int64, 1+r.Intn(4))
		for d := range grid {
			grid[d] = 1 + r.Int63n(6)
		}
		x := &Tensor{Name: "t", DType: safetensors.U32, Shape: grid, grid: grid}
		x.chunks = cut(r, make([]int64, len(grid)), grid, 4)
		for i := range x.chunks {
			fillChunk(&x.chunks[i], grid)
		}
		if err := x.checkTiling("f"); err != nil {
			t.Fatal(err)
		}
		first := r.Int63n(x.Elements())
		b := make([]byte, 4*(1+r.Int63n(x.Elements()-first)))
		if err := x.ReadAt(b, first); err != nil {
			t.Fatal(err)
		}
		for i := range len(b) / 4 {
			if got := binary.LittleEndian.Uint32(b[4*i:]); int64(got) != first+int64(i) {
				t.Fatalf("%v in %d chunks: element %d is %d", grid, len(x.chunks), first+int64(i), got)
			}
		}
		refuseAltered(t, r, x)
	}
}

// refuseAltered moves, grows or drops a chunk.
func refuseAltered(t *testing.T, r *rand.Rand, x *Tensor) {
	t.Helper()
	i, d := r.Intn(len(x.chunks)), r.Intn(len(x.grid))
	old := x.chunks[i]
	moved, grown := old, old
	moved.offsets = append([]int64(nil), old.offsets...)
	moved.offsets[d]++
	grown.sizes = append([]int64(nil), old.sizes...)
	grown.sizes[d]++
	for _, c := range []chunk{moved, grown} {
		x.chunks[i] = c
		var layout *LayoutError
		if err := x.checkTiling("f"); !errors.As(err, &layout) {
			t.Fatalf("%v with a chunk at %v of %v: %v", x.grid, c.offsets, c.sizes, err)
		}
	}
	x.chunks = append(x.chunks[:i:i], x.chunks[i+1:]...)
	if err := x.checkTiling("f"); err == nil {
		t.Fatal("a lost chunk is not noticed")
	}
}
