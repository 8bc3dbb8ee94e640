//go:build race || lorafsdebug

package cache

import (
	"runtime"
	"strings"
	"sync"
)

const debug = true

// poison makes the use of a released buffer visible.
func poison(mem []byte) {
	for i := range mem {
		mem[i] = 0xDB
	}
}

// trace keeps the stacks of those who got a buffer. A Release cannot be told from
// another, so the stacks are dropped when as many were released as got.
type trace struct {
	mu   sync.Mutex
	open int
	who  []string
}

func (t *trace) got() {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	var s strings.Builder
	for {
		f, more := frames.Next()
		s.WriteString("\t" + f.Function + "\n")
		if !more {
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open++
	t.who = append(t.who, s.String())
}

func (t *trace) released(b *Buf) {
	if b.refs.Load() <= 0 {
		panic("cache: buffer released more often than it was got")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open--; t.open <= 0 {
		t.who, t.open = nil, 0
	}
}

func (t *trace) stacks() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.who
}
