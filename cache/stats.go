package cache

// Stats counts since the cache was made, and measures it as it is.
type Stats struct {
	Hits      int64 `json:"hits"`      // Gets answered from the cache
	Waits     int64 `json:"waits"`     // Gets answered by a computation that was under way
	Misses    int64 `json:"misses"`    // Gets that computed
	Failures  int64 `json:"failures"`  // of those, how many failed or were cancelled
	Evictions int64 `json:"evictions"` // buffers dropped to make room

	Entries  int   `json:"entries"`
	Bytes    int64 `json:"bytes"`    // memory held within the bound: kept, pinned and idle
	Idle     int64 `json:"idle"`     // of Bytes, memory that waits to be used again
	Private  int64 `json:"private"`  // memory of values that found no room, outside the bound
	Capacity int64 `json:"capacity"` // the bound
}

// Stats may be called at any time.
func (c *Cache[K]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries = c.order.Len()
	s.Bytes = c.used + c.arena.idle
	s.Idle = c.arena.idle
	s.Private = c.private
	s.Capacity = c.arena.limit
	return s
}
