package fs

import (
	"errors"
	"io"
	"sync"
)

// handles are the open files. When the connection to the kernel breaks, no close of
// them arrives, and they are closed here.
type handles struct {
	mu   sync.Mutex
	open map[io.Closer]struct{}
}

func (h *handles) add(c io.Closer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		h.open = make(map[io.Closer]struct{})
	}
	h.open[c] = struct{}{}
}

func (h *handles) remove(c io.Closer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, c)
}

func (h *handles) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open)
}

func (h *handles) closeAll() error {
	h.mu.Lock()
	left := h.open
	h.open = nil
	h.mu.Unlock()
	var errs []error
	for c := range left {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
