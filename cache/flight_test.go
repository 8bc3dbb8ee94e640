package cache

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// waiters blocks until n Gets wait for key.
func waiters(t *testing.T, c *Cache[int], key, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		c.mu.Lock()
		f := c.flights[key]
		ok := f != nil && f.waiting >= n
		c.mu.Unlock()
		if ok {
			return
		}
	}
	t.Fatalf("%d waiters of key %d did not come", n, key)
}

func TestManyReadersOneFill(t *testing.T) {
	for _, capacity := range []int64{1 << 20, 0} { // kept, and too large to keep
		c := New[int](capacity)
		var fills atomic.Int32
		var wg sync.WaitGroup
		const readers = 32
		for range readers {
			wg.Go(func() {
				b, err := c.Get(ctx, 1, page, func(ctx context.Context, dst []byte) error {
					fills.Add(1)
					waiters(t, c, 1, readers-1)
					return fillWith(5)(ctx, dst)
				})
				if err != nil {
					t.Error(err)
					return
				}
				if b.Bytes()[page-1] != 5 {
					t.Error("wrong bytes")
				}
				b.Release()
			})
		}
		wg.Wait()
		if s := c.Stats(); fills.Load() != 1 || s.Misses != 1 || s.Waits != readers-1 {
			t.Errorf("capacity %d: %d fills, %+v", capacity, fills.Load(), s)
		}
		mustClose(t, c)
	}
}

// TestFailureGivesOneTheTurn: every reader's own fill fails but the last one's.
func TestFailureGivesOneTheTurn(t *testing.T) {
	c := New[int](1 << 20)
	boom := errors.New("boom")
	const readers = 10
	var fills, failed, at atomic.Int32
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			b, err := c.Get(ctx, 1, page, func(ctx context.Context, dst []byte) error {
				if at.Add(1) != 1 {
					t.Error("two fills of one key at a time")
				}
				defer at.Add(-1)
				n := int(fills.Add(1))
				if n == readers {
					return fillWith(5)(ctx, dst)
				}
				waiters(t, c, 1, readers-n)
				return boom
			})
			if errors.Is(err, boom) {
				failed.Add(1)
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			b.Release()
		})
	}
	wg.Wait()
	if s := c.Stats(); fills.Load() != readers || failed.Load() != readers-1 || s.Failures != readers-1 {
		t.Errorf("%d fills, %d errors, %+v", fills.Load(), failed.Load(), s)
	}
	mustClose(t, c)
}

func TestWaitEndsWithContext(t *testing.T) {
	c := New[int](1 << 20)
	release := make(chan struct{})
	leader := make(chan error)
	go func() {
		b, err := c.Get(ctx, 1, page, func(context.Context, []byte) error { <-release; return nil })
		if err == nil {
			b.Release()
		}
		leader <- err
	}()
	for deadline := time.Now().Add(patience); c.Stats().Misses == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("no leader")
		}
	}
	short, cancel := context.WithCancel(ctx)
	waiter := make(chan error)
	go func() {
		_, err := c.Get(short, 1, page, fillWith(1))
		waiter <- err
	}()
	waiters(t, c, 1, 1)
	cancel()
	if err := <-waiter; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled waiter: %v", err)
	}
	close(release)
	if err := <-leader; err != nil {
		t.Error(err)
	}
	mustClose(t, c)
}

func TestCancelledLeaderHandsOver(t *testing.T) {
	c := New[int](1 << 20)
	first, cancel := context.WithCancel(ctx)
	leader := make(chan error)
	go func() {
		_, err := c.Get(first, 1, page, func(ctx context.Context, dst []byte) error {
			waiters(t, c, 1, 1)
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		leader <- err
	}()
	for deadline := time.Now().Add(patience); c.Stats().Misses == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("no leader")
		}
	}
	mustGet(t, c, 1, page).Release()
	if err := <-leader; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled leader: %v", err)
	}
	mustClose(t, c)
}

func TestCancelledBeforeTheFill(t *testing.T) {
	c := New[int](1 << 20)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Get(gone, 1, page, func(context.Context, []byte) error {
		t.Error("filled for a caller who is gone")
		return nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	mustGet(t, c, 1, page).Release()
	if b, err := c.Get(gone, 1, page, nil); err != nil {
		t.Errorf("a value that is there: %v", err)
	} else {
		b.Release()
	}
	mustClose(t, c)
}

// TestPanicWakesWaiters: a fault in a mapped input comes out of fill as a panic.
func TestPanicWakesWaiters(t *testing.T) {
	c := New[int](1 << 20)
	led := make(chan any)
	go func() {
		defer func() { led <- recover() }()
		_, _ = c.Get(ctx, 1, page, func(context.Context, []byte) error {
			waiters(t, c, 1, 3)
			panic("fault")
		})
	}()
	for deadline := time.Now().Add(patience); c.Stats().Misses == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("no leader")
		}
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { mustGet(t, c, 1, page).Release() })
	}
	if r := <-led; r != "fault" {
		t.Errorf("the panic came out as %v", r)
	}
	wg.Wait()
	if s := c.Stats(); s.Failures != 1 || s.Misses != 2 {
		t.Errorf("%+v", s)
	}
	mustClose(t, c)
}

// TestNestedGet: a tile's fill asks for the packed factors.
func TestNestedGet(t *testing.T) {
	for _, capacity := range []int64{0, page, 1 << 20} {
		c := New[int](capacity)
		b, err := c.Get(ctx, 1, page, func(ctx context.Context, dst []byte) error {
			inner, err := c.Get(ctx, 2, page, fillWith(7))
			if err != nil {
				return err
			}
			defer inner.Release()
			copy(dst, inner.Bytes())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if b.Bytes()[0] != 7 {
			t.Error("wrong bytes")
		}
		b.Release()
		mustClose(t, c)
	}
}

// TestCancelRacesWithLanding lets the wait end and the value arrive at the same time:
// no pin may be lost either way.
func TestCancelRacesWithLanding(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			c := New[int](1 << 20)
			short, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			go func() {
				b, err := c.Get(context.Background(), 1, page, func(ctx context.Context, dst []byte) error {
					time.Sleep(time.Second)
					return fillWith(1)(ctx, dst)
				})
				if err != nil {
					t.Error(err)
					return
				}
				b.Release()
			}()
			synctest.Wait()
			if b, err := c.Get(short, 1, page, fillWith(1)); err == nil {
				b.Release()
			} else if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			synctest.Wait()
			mustClose(t, c)
		})
	}
}
