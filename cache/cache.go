// Package cache keeps byte buffers by key, bounded in bytes, and computes each key
// once however many readers ask for it.
//
// The one idea: a buffer is in one of three hands. The cache holds it while it is
// worth keeping; readers pin it while they use it; the arena keeps its memory for
// the next buffer once neither does. All three count against the capacity, so that
// the memory of the process is bounded by it. When everything is pinned, a value is
// computed into a private buffer that is handed out and not kept.
//
// The caller must Release every Buf that it gets, exactly once, and must not touch
// its bytes afterwards. All methods may be called concurrently. No lock is held
// while a value is computed, and the goroutine that asks is the one that computes:
// the package starts none.
//
// Buffers lie outside the Go heap. Under -race, or with the build tag lorafsdebug,
// released memory is overwritten and Close names who holds what is left.
//
// The package knows nothing of tensors, files and errno.
package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// ErrClosed is returned by Get after Close.
var ErrClosed = errors.New("cache is closed")

// Cache maps keys to immutable byte buffers. It evicts the least recently used
// buffer that nobody has pinned; a pinned one counts as used.
//
// It is not sharded: a lookup holds the lock for about 100 ns, while 10 GB/s of
// 1 MiB values are 10⁴ lookups a second and small reads through FUSE end near
// 1.6·10⁵. Shards would only coarsen the bound.
type Cache[K comparable] struct {
	mu      sync.Mutex
	order   *simplelru.LRU[K, *Buf] // the order only: the bound is in bytes
	flights map[K]*flight
	arena   arena
	used    int64 // bytes of buffers in order, in flight, or dropped but pinned
	private int64 // bytes of buffers outside the bound
	handed  map[*Buf]struct{}
	stats   Stats
	closed  bool

	// over is set while more is held than the capacity allows: Release then looks
	// whether it can help, and otherwise takes no lock.
	over atomic.Bool
}

// New makes a cache that holds at most capacity bytes, the memory of pinned and of
// idle buffers included. With a capacity of 0 or less nothing is kept.
func New[K comparable](capacity int64) *Cache[K] {
	order, err := simplelru.NewLRU[K, *Buf](math.MaxInt, nil)
	if err != nil {
		panic(err)
	}
	return &Cache[K]{
		order:   order,
		flights: make(map[K]*flight),
		arena:   arena{limit: max(capacity, 0)},
		handed:  make(map[*Buf]struct{}),
	}
}

// Get returns the buffer of key, pinned. When there is none, fill computes it into
// dst, size bytes long, with arbitrary content before; others who ask for the key
// meanwhile wait for the result. The size of a key must always be the same.
//
// fill runs in the calling goroutine with its ctx. Its error, or its panic, goes to
// this caller alone: one of those who wait then takes the turn. A wait ends when
// ctx does. fill must not ask for the same key.
func (c *Cache[K]) Get(ctx context.Context, key K, size int64, fill func(ctx context.Context, dst []byte) error) (*Buf, error) {
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, ErrClosed
		}
		if b, ok := c.order.Get(key); ok {
			b.pin()
			c.stats.Hits++
			c.mu.Unlock()
			return b, nil
		}
		f, busy := c.flights[key]
		if !busy {
			f = c.takeOff(key)
			c.mu.Unlock()
			return c.lead(ctx, key, size, f, fill)
		}
		f.waiting++
		c.mu.Unlock()
		if b, err := c.wait(ctx, f); b != nil || err != nil {
			return b, err
		}
	}
}

// Drop forgets the keys for which match says so, those being computed included.
// Buffers that are pinned stay valid until they are released. match must not call
// the cache.
func (c *Cache[K]) Drop(match func(K) bool) {
	c.mu.Lock()
	for _, key := range c.order.Keys() {
		if match(key) {
			c.remove(key)
		}
	}
	for key, f := range c.flights {
		if match(key) {
			f.unwanted = true
		}
	}
	c.mu.Unlock()
}

// Resize changes the capacity. Values that are too many are evicted at once, or
// when they are released.
func (c *Cache[K]) Resize(capacity int64) {
	c.mu.Lock()
	c.arena.limit = max(capacity, 0)
	c.trim()
	gone := c.arena.surplus(c.used)
	c.mu.Unlock()
	unmapAll(gone)
}

// Close drops everything and gives the memory back. Buffers that are pinned keep
// theirs until they are released; they are a *LeakError.
func (c *Cache[K]) Close() error {
	c.mu.Lock()
	c.closed = true
	for _, key := range c.order.Keys() {
		c.remove(key)
	}
	for _, f := range c.flights {
		f.unwanted = true
	}
	c.arena.limit = 0
	gone := c.arena.surplus(c.used)
	err := c.leaks()
	c.mu.Unlock()
	unmapAll(gone)
	return err
}

// LeakError is a cache that was closed while buffers were pinned.
type LeakError struct {
	Buffers int
	Bytes   int64
	Stacks  []string // of the Gets, with -race or the tag lorafsdebug
}

func (e *LeakError) Error() string {
	s := fmt.Sprintf("cache closed with %d buffers (%d bytes) in use", e.Buffers, e.Bytes)
	for _, stack := range e.Stacks {
		s += "\n" + stack
	}
	return s
}

// leaks is called with nothing left in order, so all that is handed out is pinned.
func (c *Cache[K]) leaks() error {
	if len(c.handed) == 0 {
		return nil
	}
	e := &LeakError{Buffers: len(c.handed)}
	for b := range c.handed {
		e.Bytes += int64(len(b.data))
		e.Stacks = append(e.Stacks, b.trace.stacks()...)
	}
	return e
}

// remove takes key out of the order; its memory is free once nobody has it pinned.
func (c *Cache[K]) remove(key K) {
	b, ok := c.order.Peek(key)
	if !ok {
		return
	}
	c.order.Remove(key)
	if b.refs.Add(-1) == 0 {
		c.reclaim(b)
	}
}

// reclaim moves the memory of a buffer that nobody holds back to the arena.
func (c *Cache[K]) reclaim(b *Buf) {
	delete(c.handed, b)
	b.data = nil
	poison(b.mem)
	if b.private {
		c.private -= int64(len(b.mem))
		return
	}
	c.used -= int64(len(b.mem))
	c.arena.put(b.mem)
}

// evict drops the least recently used buffer that nobody has pinned, and says
// whether there was one. Pinned ones on the way are in use and go to the front.
// Pins are only added under the lock, so a buffer with one reference stays so.
func (c *Cache[K]) evict() bool {
	for range c.order.Len() {
		key, b, _ := c.order.RemoveOldest()
		if b.refs.Load() > 1 {
			c.order.Add(key, b)
			continue
		}
		b.refs.Store(0)
		c.reclaim(b)
		c.stats.Evictions++
		return true
	}
	return false
}

// trim evicts until no more is in use than the capacity allows, if it can.
func (c *Cache[K]) trim() {
	for c.used > c.arena.limit && c.evict() {
	}
	c.over.Store(c.used > c.arena.limit)
}

// reserve finds memory for a buffer of size bytes: room within the bound (mem may be
// nil then, to be mapped), or none, which makes the buffer private. gone is memory
// to unmap first.
func (c *Cache[K]) reserve(size int64) (b *Buf, gone [][]byte) {
	class := roundUp(size)
	b = &Buf{owner: c}
	b.private = class > c.arena.limit || c.closed
	for !b.private {
		if b.mem = c.arena.get(class); b.mem != nil {
			break
		}
		if c.used+c.arena.idle+class <= c.arena.limit {
			break
		}
		if old := c.arena.largest(); old != nil {
			gone = append(gone, old)
			continue
		}
		b.private = !c.evict()
	}
	if b.private {
		c.private += class
	} else {
		c.used += class
	}
	c.handed[b] = struct{}{}
	b.refs.Store(1)
	return b, gone
}

// take returns a buffer of size bytes with one reference.
func (c *Cache[K]) take(size int64) (*Buf, error) {
	c.mu.Lock()
	b, gone := c.reserve(size)
	c.mu.Unlock()
	unmapAll(gone)
	if b.mem == nil {
		mem, err := mapMemory(roundUp(size))
		if err != nil {
			c.abandon(b, roundUp(size))
			return nil, err
		}
		b.mem = mem
	}
	b.data = b.mem[:size:size]
	return b, nil
}

// abandon undoes a reservation whose memory could not be had.
func (c *Cache[K]) abandon(b *Buf, class int64) {
	c.mu.Lock()
	delete(c.handed, b)
	if b.private {
		c.private -= class
	} else {
		c.used -= class
	}
	c.mu.Unlock()
}

// free is called by the last Release of a buffer that the order does not hold.
func (c *Cache[K]) free(b *Buf) {
	c.mu.Lock()
	c.reclaim(b)
	gone := c.arena.surplus(c.used)
	c.over.Store(c.used > c.arena.limit)
	c.mu.Unlock()
	unmapAll(gone)
	if b.private {
		unmap(b.mem)
	}
}

// relieve is called when a pin of a kept buffer ends.
func (c *Cache[K]) relieve() {
	if !c.over.Load() {
		return
	}
	c.mu.Lock()
	c.trim()
	gone := c.arena.surplus(c.used)
	c.mu.Unlock()
	unmapAll(gone)
}
