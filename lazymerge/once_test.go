package lazymerge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestOnceRunsOneStep(t *testing.T) {
	o := newOnce()
	var runs atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := o.do(context.Background(), func() error { runs.Add(1); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := runs.Load(); n != 1 {
		t.Errorf("%d runs, want 1", n)
	}
}

func TestOnceTriesAgainAfterFailure(t *testing.T) {
	o := newOnce()
	broken := errors.New("broken")
	if err := o.do(context.Background(), func() error { return broken }); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	ran := false
	if err := o.do(context.Background(), func() error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("second try: ran %v, error %v", ran, err)
	}
}

func TestOnceWaiterHonoursContext(t *testing.T) {
	o := newOnce()
	entered, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- o.do(context.Background(), func() error { close(entered); <-leave; return nil })
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.do(ctx, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
