package cache

import "context"

// flight is a computation under way. Its fields are guarded by the cache's lock; buf
// is final when done is closed.
type flight struct {
	done     chan struct{}
	waiting  int
	unwanted bool // dropped meanwhile: hand the result out, do not keep it
	buf      *Buf // nil when it failed
}

// takeOff makes the caller the one who computes key.
func (c *Cache[K]) takeOff(key K) *flight {
	f := &flight{done: make(chan struct{})}
	c.flights[key] = f
	c.stats.Misses++
	return f
}

// lead computes the value of key. Whatever way it ends, a panic included, those who
// wait are woken; a panic goes on up.
func (c *Cache[K]) lead(ctx context.Context, key K, size int64, f *flight, fill func(ctx context.Context, dst []byte) error) (*Buf, error) {
	var b *Buf
	filled := false
	defer func() { c.land(key, f, b, filled) }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var err error
	if b, err = c.take(size); err != nil {
		return nil, err
	}
	if err := fill(ctx, b.data); err != nil {
		return nil, err
	}
	filled = true
	b.trace.got()
	return b, nil
}

// land ends a flight: the buffer gets a pin for each who waits and one for the cache
// that keeps it; a failed one goes back.
func (c *Cache[K]) land(key K, f *flight, b *Buf, filled bool) {
	c.mu.Lock()
	delete(c.flights, key)
	if filled {
		f.buf = b
		keep := !b.private && !f.unwanted
		for range f.waiting {
			b.pin()
		}
		c.stats.Waits += int64(f.waiting)
		if keep {
			b.refs.Add(1)
			c.order.Add(key, b)
			c.trim()
		}
	} else {
		c.stats.Failures++
	}
	c.mu.Unlock()
	close(f.done)
	if !filled && b != nil {
		b.Release()
	}
}

// wait returns the result of a flight that somebody else computes. Both results are
// nil when it failed and the caller should try again.
func (c *Cache[K]) wait(ctx context.Context, f *flight) (*Buf, error) {
	select {
	case <-f.done:
		return f.buf, nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	f.waiting--
	landed := f.buf
	c.mu.Unlock()
	if landed != nil {
		landed.Release()
	}
	return nil, ctx.Err()
}
