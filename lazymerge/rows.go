package lazymerge

import (
	"context"
	"errors"
	"sync"

	"lorafs/cache"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

const (
	tileBytes  = 1 << 20   // a finished tile in the cache
	directRows = 16        // a request with this many whole rows is computed in place
	blockBytes = 256 << 10 // computed between two looks at the context
)

// merged is a tensor of the view that is computed. Its rows are everything behind
// the first dimension; a tensor of one dimension has rows of one element.
type merged struct {
	*output
	key      Key // Part is set for each use
	cache    *cache.Cache[Key]
	workers  Workers
	rows     int64
	group    int64 // rows that edits need together, see transform.Grouped
	rowBytes int64 // of the view
	srcBytes int64 // of the source, which may have another dtype
	inputs   []*safetensors.Tensor
	overflow bool // values that become infinite are passed on
}

func newMerged(o *output, key Key, opt Options) *merged {
	m := &merged{output: o, key: key, cache: opt.Cache, workers: opt.Workers, rows: 1, overflow: opt.AllowNonFinite}
	row := int64(1)
	dims := 1 // that count rows
	if stackedRows(o.chain) {
		dims = 2
	}
	for i, d := range o.info.Shape {
		if i < dims {
			m.rows *= d
		} else {
			row *= d
		}
	}
	m.rowBytes = row * int64(o.info.DType.Bits()) / 8
	m.srcBytes = row * int64(o.from.DType.Bits()) / 8
	m.group = groupOf(o.chain, m.rows)
	m.inputs = append(m.inputs, o.from)
	files := make(map[string]bool) // one of an adapter, several of a stack
	for _, e := range o.chain {
		for _, t := range e.Transform.Tensors() {
			if path := t.Path(); !files[path] {
				files[path] = true
				m.inputs = append(m.inputs, t)
			}
		}
	}
	for _, e := range o.chain {
		if e.beside != nil {
			m.inputs = append(m.inputs, e.beside)
		}
	}
	return m
}

// groupOf is the number of rows that all of the edits can take at a time.
func groupOf(chain []boundEdit, rows int64) int64 {
	group := int64(1)
	for _, e := range chain {
		if g, ok := e.bound.(transform.Grouped); ok {
			group = min(common(group, max(g.Group(), 1)), max(rows, 1))
		}
	}
	return group
}

// common is the least common multiple.
func common(a, b int64) int64 {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// aligned is the least multiple of the group that is not below n.
func (m *merged) aligned(n int64) int64 { return (n + m.group - 1) / m.group * m.group }

// span is the rows that a byte range touches and those that it covers whole.
type span struct {
	first, last   int64 // [first,last): touched
	whole, beyond int64 // [whole,beyond): covered; whole >= beyond when none is
}

func rowSpan(rowBytes, off, n int64) span {
	s := span{first: off / rowBytes, last: (off + n + rowBytes - 1) / rowBytes}
	s.whole = (off + rowBytes - 1) / rowBytes
	s.beyond = (off + n) / rowBytes
	return s
}

// readAt fills p with the merged tensor's bytes from off on. A request that covers
// many rows computes them in place and only the rows at its edges in scratch; a
// smaller one goes through tiles that the cache keeps.
func (m *merged) readAt(ctx context.Context, p []byte, off int64) error {
	s := rowSpan(m.rowBytes, off, int64(len(p)))
	if m.group > 1 {
		return m.readGroups(ctx, p, off, s)
	}
	if s.beyond-s.whole < directRows {
		return m.readTiles(ctx, p, off)
	}
	head := s.whole*m.rowBytes - off
	tail := s.beyond*m.rowBytes - off
	if err := m.readEdge(ctx, p[:head], off); err != nil {
		return err
	}
	if err := m.compute(ctx, p[head:tail], s.whole, s.beyond); err != nil {
		return err
	}
	return m.readEdge(ctx, p[tail:], off+tail)
}

// readGroups is readAt where rows depend on their neighbours: the groups at the edges
// come from tiles.
func (m *merged) readGroups(ctx context.Context, p []byte, off int64, s span) error {
	whole, beyond := m.aligned(s.whole), s.beyond
	if beyond < m.rows {
		beyond -= beyond % m.group
	}
	if beyond-whole < directRows {
		return m.readTiles(ctx, p, off)
	}
	head, tail := whole*m.rowBytes-off, beyond*m.rowBytes-off
	if err := m.readTiles(ctx, p[:head], off); err != nil {
		return err
	}
	if err := m.compute(ctx, p[head:tail], whole, beyond); err != nil {
		return err
	}
	return m.readTiles(ctx, p[tail:], off+tail)
}

// edgeRows holds single rows on their way to the edges of a request.
var edgeRows = sync.Pool{New: func() any { return new([]byte) }}

func (m *merged) readEdge(ctx context.Context, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	row := edgeRows.Get().(*[]byte)
	defer edgeRows.Put(row)
	if int64(cap(*row)) < m.rowBytes {
		*row = make([]byte, m.rowBytes)
	}
	buf := (*row)[:m.rowBytes]
	n := off / m.rowBytes
	if err := m.compute(ctx, buf, n, n+1); err != nil {
		return err
	}
	copy(p, buf[off-n*m.rowBytes:])
	return nil
}

func (m *merged) readTiles(ctx context.Context, p []byte, off int64) error {
	tileRows := m.aligned(max(1, tileBytes/m.rowBytes))
	for len(p) > 0 {
		tile := off / (tileRows * m.rowBytes)
		lo := tile * tileRows
		hi := min(lo+tileRows, m.rows)
		key := m.key
		key.Part = int32(tile)
		buf, err := m.cache.Get(ctx, key, (hi-lo)*m.rowBytes, func(ctx context.Context, dst []byte) error {
			return m.compute(ctx, dst, lo, hi)
		})
		if err != nil {
			return err
		}
		n := copy(p, buf.Bytes()[off-lo*m.rowBytes:])
		buf.Release()
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// compute fills dst with the merged rows [lo,hi), whole groups of them.
func (m *merged) compute(ctx context.Context, dst []byte, lo, hi int64) error {
	if err := m.workers.acquire(ctx); err != nil {
		return err
	}
	defer m.workers.release()
	var packs [4]*cache.Buf // edits of the same rows: rarely more than two
	var places [4]int       // in the chain
	held, edits := packs[:0], places[:0]
	defer func() { releaseAll(held) }()
	for i := range m.chain {
		if !m.chain[i].touches(lo, hi) {
			continue
		}
		b, err := m.ready(ctx, i)
		if err != nil {
			return err
		}
		held, edits = append(held, b), append(edits, i)
	}
	step := m.aligned(max(1, blockBytes/m.rowBytes))
	for ; lo < hi; lo += step {
		end := min(lo+step, hi)
		block := dst[:(end-lo)*m.rowBytes]
		src, err := m.load(ctx, block, lo, end)
		if err != nil {
			return err
		}
		for n, i := range edits {
			if err := m.chain[i].bound.Rows(ctx, block, src, packedBytes(held[n]), lo, end); err != nil {
				return m.blame(err)
			}
			src = block
		}
		if len(edits) == 0 && len(m.chain) > 0 {
			copy(block, src)
		}
		dst = dst[len(block):]
	}
	return m.unchanged()
}

// load returns the source's rows [lo,hi) in the dtype of the view: as they lie in
// the mapping where an edit will copy them, in dst otherwise.
func (m *merged) load(ctx context.Context, dst []byte, lo, hi int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	src, err := m.from.Slice(lo*m.srcBytes, hi*m.srcBytes)
	if err != nil {
		return nil, err
	}
	if m.from.DType != m.info.DType {
		return dst, m.cast(dst, src)
	}
	if len(m.chain) == 0 {
		copy(dst, src)
	}
	return src, nil
}

// cast brings a tensor that the adapter replaces to the dtype of the view.
func (m *merged) cast(dst, src []byte) error {
	err := transform.Cast(dst, m.info.DType, src, m.from.DType)
	var overflow *transform.OverflowError
	if errors.As(err, &overflow) {
		if m.overflow {
			return nil // all of dst is filled
		}
		overflow.Tensor = m.info.Name
	}
	return err
}

// ready packs the factors of edit i (nil when it has none) and runs its pass over
// the tensor where it needs one.
func (m *merged) ready(ctx context.Context, i int) (*cache.Buf, error) {
	e := &m.chain[i]
	var packed *cache.Buf
	if size := e.bound.PackSize(); size > 0 {
		key, fill := m.key, e.pack
		key.Part = int32(-1 - i)
		if from, ok := e.bound.(transform.FromBase); ok {
			fill = func(ctx context.Context, dst []byte) error {
				return m.before(ctx, i, func(rows rowReader) error { return from.PackFrom(ctx, dst, rows) })
			}
		}
		b, err := m.cache.Get(ctx, key, size, fill)
		if err != nil {
			return nil, err
		}
		packed = b
	}
	if e.once == nil {
		return packed, nil
	}
	if err := e.once.do(ctx, func() error { return m.prepare(ctx, i, packed) }); err != nil {
		if packed != nil {
			packed.Release()
		}
		return nil, err
	}
	return packed, nil
}

func (m *merged) prepare(ctx context.Context, i int, packed *cache.Buf) error {
	p := m.chain[i].bound.(transform.Preparer)
	return m.before(ctx, i, func(rows rowReader) error { return p.Prepare(ctx, packedBytes(packed), rows) })
}

// rowReader fills dst with the rows [lo,hi) of a parameter.
type rowReader = func(ctx context.Context, dst []byte, lo, hi int64) error

// before runs step with a reader of the rows that edit i finds: those of the source
// after the edits that come first.
func (m *merged) before(ctx context.Context, i int, step func(rows rowReader) error) error {
	var first []*cache.Buf // factors of those edits
	defer func() { releaseAll(first) }()
	for j := range i {
		b, err := m.ready(ctx, j)
		if err != nil {
			return err
		}
		first = append(first, b)
	}
	group := groupOf(m.chain[:i], m.rows)
	return step(func(ctx context.Context, dst []byte, lo, hi int64) error {
		from, to := lo/group*group, min((hi+group-1)/group*group, m.rows)
		if from == lo && to == hi {
			return m.apply(ctx, dst, i, first, lo, hi)
		}
		whole := make([]byte, (to-from)*m.rowBytes)
		err := m.apply(ctx, whole, i, first, from, to)
		copy(dst[:(hi-lo)*m.rowBytes], whole[(lo-from)*m.rowBytes:])
		return err
	})
}

// apply fills dst with the rows [lo,hi) after the first n edits.
func (m *merged) apply(ctx context.Context, dst []byte, n int, packs []*cache.Buf, lo, hi int64) error {
	src, err := m.load(ctx, dst, lo, hi)
	if err != nil {
		return err
	}
	for j := range n {
		if err := m.chain[j].bound.Rows(ctx, dst, src, packedBytes(packs[j]), lo, hi); err != nil {
			return err
		}
		src = dst
	}
	if n == 0 {
		copy(dst, src)
	}
	return nil
}

// packedBytes is nil for an edit without factors to pack.
func packedBytes(b *cache.Buf) []byte {
	if b == nil {
		return nil
	}
	return b.Bytes()
}

func releaseAll(held []*cache.Buf) {
	for _, b := range held {
		if b != nil {
			b.Release()
		}
	}
}

// unchanged holds every input of the tensor against what it was when opened: a file
// rewritten in place gives wrong bytes without any fault.
func (m *merged) unchanged() error {
	for _, t := range m.inputs {
		if err := t.Unchanged(); err != nil {
			return err
		}
	}
	return nil
}

// blame prefers a changed input to what its bytes led to: they are of no adapter.
func (m *merged) blame(err error) error {
	if changed := m.unchanged(); changed != nil {
		return changed
	}
	return err
}

// Workers bounds how many requests compute at a time: more than there are CPUs
// would starve the loop that answers the kernel.
type Workers chan struct{}

// NewWorkers allows n computations at a time.
func NewWorkers(n int) Workers { return make(Workers, max(1, n)) }

func (w Workers) acquire(ctx context.Context) error {
	if w == nil {
		return nil
	}
	select {
	case w <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w Workers) release() {
	if w != nil {
		<-w
	}
}
