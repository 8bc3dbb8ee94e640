package checkpoint

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"

	"lorafs/safetensors"
)

// Tensor is a named tensor of a checkpoint. Its values stay in the files until ReadAt
// asks for some.
type Tensor struct {
	Name  string
	DType safetensors.DType
	Shape []int64
	// Trained: the optimizer held it.
	Trained bool
	// Buffer: a value of the model that is not trained, in a floating dtype.
	Buffer bool
	// Saved is the dtype that the model had it in, where DType is that of the
	// optimizer's copy; else DType.
	Saved safetensors.DType
	// Alias is the parameter that this one shares its values with, "" mostly.
	Alias string

	grid   []int64 // of the chunks: Shape, or one dimension
	chunks []chunk
}

// source gives elements in C order, little-endian.
type source interface {
	ReadAt(dst []byte, first int64) error
	// Verify reads what the elements lie in, and compares its checksum if it has one.
	Verify(ctx context.Context) error
}

// chunk is a box of a tensor's grid, whose elements lie in C order in a source from at on.
type chunk struct {
	offsets, sizes []int64
	from           source
	at             int64
	file           string
}

// Info describes the tensor for a header.
func (t *Tensor) Info() safetensors.Info {
	return safetensors.Info{Name: t.Name, DType: t.DType, Shape: t.Shape}
}

// Elements is the number of elements. Opening has proved that it fits.
func (t *Tensor) Elements() int64 { return product(t.Shape) }

// Bytes is the size of the values.
func (t *Tensor) Bytes() int64 { return t.Elements() * t.width() }

func (t *Tensor) width() int64 { return int64(t.DType.Bits() / 8) }

// ReadAt reads elements first, first+1, … in C order, as many as dst has room for.
// Bounds outside the tensor panic. Error: *ReadError.
func (t *Tensor) ReadAt(dst []byte, first int64) error {
	n := int64(len(dst)) / t.width()
	if first < 0 || first+n > t.Elements() || int64(len(dst))%t.width() != 0 {
		panic(fmt.Sprintf("checkpoint: elements [%d, %d) of %q with %d", first, first+n, t.Name, t.Elements()))
	}
	for _, c := range t.chunks {
		if err := t.readChunk(c, dst, first, n); err != nil {
			return &ReadError{File: c.file, Tensor: t.Name, Err: err}
		}
	}
	return nil
}

// Verify reads the files' records with the tensor's values, and compares the checksums
// that they were saved with. A record is read once for all tensors in it. Error:
// *ReadError, the context's.
func (t *Tensor) Verify(ctx context.Context) error {
	for _, c := range t.chunks {
		if err := c.from.Verify(ctx); ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			return &ReadError{File: c.file, Tensor: t.Name, Err: err}
		}
	}
	return nil
}

// readChunk copies what a chunk has of elements [first, first+n). Its runs, which are
// contiguous in the tensor, come in order of their first elements.
func (t *Tensor) readChunk(c chunk, dst []byte, first, n int64) error {
	run := c.run(t.grid)
	if run == 0 {
		return nil
	}
	runs := int(product(c.sizes) / run)
	start := sort.Search(runs, func(i int) bool { return c.start(t.grid, run, int64(i))+run > first })
	width := t.width()
	for i := int64(start); i < int64(runs); i++ {
		at := c.start(t.grid, run, i)
		lo, hi := max(at, first), min(at+run, first+n)
		if lo >= first+n {
			return nil
		}
		if err := c.from.ReadAt(dst[(lo-first)*width:(hi-first)*width], c.at+i*run+lo-at); err != nil {
			return err
		}
	}
	return nil
}

// run is how many elements of the chunk are contiguous in the grid.
func (c chunk) run(grid []int64) int64 {
	n := int64(1)
	for d := len(grid) - 1; d >= 0; d-- {
		n *= c.sizes[d]
		if c.sizes[d] != grid[d] {
			break
		}
	}
	return n
}

// start is the first element, in the grid, of the chunk's run number i.
func (c chunk) start(grid []int64, run, i int64) int64 {
	inChunk := i * run
	at, stride := int64(0), int64(1)
	for d := len(grid) - 1; d >= 0; d-- {
		at += (c.offsets[d] + inChunk%c.sizes[d]) * stride
		inChunk /= c.sizes[d]
		stride *= grid[d]
	}
	return at
}

// Bounds of a tensor's chunks, and of how often two of them are compared.
const (
	maxChunks   = 1 << 16
	maxCompared = 1 << 25
)

// checkTiling proves that the chunks cover the grid, each element once: all lie inside,
// no two overlap, and their sizes add up. Error: *LayoutError.
func (t *Tensor) checkTiling(file string) error {
	if len(t.chunks) > maxChunks {
		return &LayoutError{File: file, Tensor: t.Name, Reason: fmt.Sprintf("%d chunks", len(t.chunks))}
	}
	total := int64(0)
	for _, c := range t.chunks {
		if !c.inside(t.grid) {
			return &LayoutError{File: file, Tensor: t.Name, Reason: fmt.Sprintf("a chunk at %v of size %v leaves the shape %v", c.offsets, c.sizes, t.grid)}
		}
		total += product(c.sizes)
		if total > t.Elements() {
			break
		}
	}
	if total != t.Elements() {
		return &LayoutError{File: file, Tensor: t.Name, Reason: fmt.Sprintf("its chunks have %d elements, the shape %v has %d", total, t.Shape, t.Elements())}
	}
	return t.checkDisjoint(file)
}

func (c chunk) inside(grid []int64) bool {
	if len(c.offsets) != len(grid) || len(c.sizes) != len(grid) {
		return false
	}
	for d := range grid {
		if c.offsets[d] < 0 || c.sizes[d] < 0 || c.offsets[d] > grid[d] || c.sizes[d] > grid[d]-c.offsets[d] {
			return false
		}
	}
	return true
}

// checkDisjoint sorts by the dimension that is cut most, so that only neighbours are
// compared.
func (t *Tensor) checkDisjoint(file string) error {
	if len(t.grid) == 0 {
		return nil
	}
	d := t.mostCut()
	byStart := slices.Clone(t.chunks)
	slices.SortFunc(byStart, func(a, b chunk) int { return cmp.Compare(a.offsets[d], b.offsets[d]) })
	compared := 0
	for i, c := range byStart {
		for _, o := range byStart[i+1:] {
			if o.offsets[d] >= c.offsets[d]+c.sizes[d] {
				break
			}
			if compared++; compared > maxCompared {
				return &LayoutError{File: file, Tensor: t.Name, Reason: fmt.Sprintf("its %d chunks lie beside each other in more ways than are compared", len(t.chunks))}
			}
			if c.overlaps(o) {
				return &LayoutError{File: file, Tensor: t.Name, Reason: fmt.Sprintf("chunks at %v and %v overlap", c.offsets, o.offsets)}
			}
		}
	}
	return nil
}

// mostCut is the dimension in which the chunks begin at the most places.
func (t *Tensor) mostCut() int {
	best, most := 0, 0
	for d := range t.grid {
		places := make(map[int64]bool)
		for _, c := range t.chunks {
			places[c.offsets[d]] = true
		}
		if len(places) > most {
			best, most = d, len(places)
		}
	}
	return best
}

func (c chunk) overlaps(o chunk) bool {
	for d := range c.offsets {
		if c.offsets[d] >= o.offsets[d]+o.sizes[d] || o.offsets[d] >= c.offsets[d]+c.sizes[d] {
			return false
		}
	}
	return true
}

func product(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	return n
}
