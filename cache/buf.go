package cache

import "sync/atomic"

// Buf is a pinned buffer. It is shared by all who got it: nobody may write to it.
type Buf struct {
	data    []byte
	mem     []byte // all of its memory
	refs    atomic.Int32
	private bool // outside the bound, never kept
	owner   interface {
		free(*Buf)
		relieve()
	}
	trace trace
}

// Bytes is the value. It starts at a multiple of 64 and is valid until Release.
func (b *Buf) Bytes() []byte { return b.data }

// Release ends the use of the buffer by one who got it.
func (b *Buf) Release() {
	b.trace.released(b)
	switch n := b.refs.Add(-1); {
	case n == 0:
		b.owner.free(b)
	case n == 1:
		b.owner.relieve()
	case n < 0:
		panic("cache: buffer released more often than it was got")
	}
}

func (b *Buf) pin() {
	b.refs.Add(1)
	b.trace.got()
}
