package lazymerge

import (
	"context"
	"sync/atomic"
)

// once runs a costly step a single time however many readers need it. A waiter
// leaves when its context ends; after a failure the next reader tries again.
type once struct {
	done atomic.Bool
	turn chan struct{}
}

func newOnce() *once {
	return &once{turn: make(chan struct{}, 1)}
}

func (o *once) do(ctx context.Context, step func() error) error {
	if o.done.Load() {
		return nil
	}
	select {
	case o.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-o.turn }()
	if o.done.Load() {
		return nil
	}
	if err := step(); err != nil {
		return err
	}
	o.done.Store(true)
	return nil
}
