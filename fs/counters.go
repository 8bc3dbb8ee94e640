package fs

import (
	"sync/atomic"
	"time"
)

// The kinds of files, and ways of serving them, that are counted apart.
const (
	kindMerged      = iota
	kindBase        // on disk, through Read
	kindPassthrough // on disk, through the kernel: only opens are seen
	kinds
)

var kindNames = [kinds]string{"merged", "base", "passthrough"}

// counters are what the control files show.
type counters struct {
	started     time.Time
	opens       [kinds]atomic.Int64
	reads       [kindPassthrough]latency
	errors      atomic.Int64
	interrupted atomic.Int64
}

// bounds are the upper limits of the latency buckets; a last one has none.
var bounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	time.Second, 5 * time.Second,
}

// latency counts the reads of a kind, their bytes and how long they took.
type latency struct {
	bytes   atomic.Int64
	nanos   atomic.Int64
	buckets [len(bounds) + 1]atomic.Int64
}

func (l *latency) note(bytes int, took time.Duration) {
	l.bytes.Add(int64(bytes))
	l.nanos.Add(int64(took))
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	l.buckets[i].Add(1)
}

func (l *latency) count() (n int64) {
	for i := range l.buckets {
		n += l.buckets[i].Load()
	}
	return n
}
