package cache

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

var ctx = context.Background()

// patience bounds every wait of these tests; none waits that long when all is well.
const patience = 30 * time.Second

func fillWith(v byte) func(context.Context, []byte) error {
	return func(_ context.Context, dst []byte) error {
		for i := range dst {
			dst[i] = v
		}
		return nil
	}
}

func mustGet(t *testing.T, c *Cache[int], key int, size int64) *Buf {
	t.Helper()
	b, err := c.Get(ctx, key, size, fillWith(byte(key)))
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Bytes()) != int(size) {
		t.Fatalf("%d bytes, want %d", len(b.Bytes()), size)
	}
	if want := bytes.Repeat([]byte{byte(key)}, int(size)); !bytes.Equal(b.Bytes(), want) {
		t.Fatalf("key %d: wrong bytes", key)
	}
	return b
}

func mustClose(t *testing.T, c *Cache[int]) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Bytes != 0 || s.Private != 0 || s.Entries != 0 {
		t.Errorf("after Close: %+v", s)
	}
}

func TestHitAndMiss(t *testing.T) {
	c := New[int](1 << 20)
	for _, size := range []int64{0, 1, 100, 4096, 4097, 100_000} {
		key := int(size)
		first := mustGet(t, c, key, size)
		second := mustGet(t, c, key, size)
		if first != second {
			t.Errorf("size %d: computed twice", size)
		}
		if size > 0 && uintptr(unsafe.Pointer(&first.Bytes()[0]))%64 != 0 {
			t.Errorf("size %d: not aligned to 64", size)
		}
		first.Release()
		second.Release()
	}
	s := c.Stats()
	if s.Hits != 6 || s.Misses != 6 || s.Entries != 6 || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
	mustClose(t, c)
}

func TestEvictsLeastRecentlyUsed(t *testing.T) {
	c := New[int](3 * page)
	for _, key := range []int{1, 2, 3, 1, 4} { // 2 is the oldest when 4 comes
		mustGet(t, c, key, page).Release()
	}
	misses := c.Stats().Misses
	for _, key := range []int{1, 3, 4} {
		mustGet(t, c, key, page).Release()
	}
	if s := c.Stats(); s.Misses != misses || s.Evictions != 1 {
		t.Errorf("wrong key evicted: %+v", s)
	}
	mustGet(t, c, 2, page).Release()
	if s := c.Stats(); s.Misses != misses+1 {
		t.Errorf("2 was kept: %+v", s)
	}
	mustClose(t, c)
}

func TestPinnedStaysAndCounts(t *testing.T) {
	c := New[int](2 * page)
	a, b := mustGet(t, c, 1, page), mustGet(t, c, 2, page)
	over := mustGet(t, c, 3, page)
	if s := c.Stats(); s.Private != page || s.Bytes != 2*page || s.Entries != 2 {
		t.Errorf("with everything pinned: %+v", s)
	}
	over.Release()
	if s := c.Stats(); s.Private != 0 {
		t.Errorf("a private buffer was kept: %+v", s)
	}
	a.Release()
	mustGet(t, c, 4, page).Release()
	if !bytes.Equal(b.Bytes(), bytes.Repeat([]byte{2}, page)) {
		t.Error("a pinned buffer was overwritten")
	}
	if s := c.Stats(); s.Evictions != 1 {
		t.Errorf("%+v", s)
	}
	b.Release()
	mustClose(t, c)
}

func TestLargerThanTheCache(t *testing.T) {
	c := New[int](2 * page)
	mustGet(t, c, 1, page).Release()
	mustGet(t, c, 9, 3*page).Release()
	mustGet(t, c, 9, 3*page).Release()
	if s := c.Stats(); s.Misses != 3 || s.Evictions != 0 || s.Entries != 1 {
		t.Errorf("%+v", s)
	}
	mustClose(t, c)
	none := New[int](0)
	mustGet(t, none, 1, 1).Release()
	mustClose(t, none)
}

// TestMemoryIsReused checks that memory of another size class is given back rather
// than added to.
func TestMemoryIsReused(t *testing.T) {
	c := New[int](64 * page)
	for i := range 500 {
		mustGet(t, c, i, int64(1+i%40)*page).Release()
		if s := c.Stats(); s.Bytes > s.Capacity {
			t.Fatalf("%d: %+v", i, s)
		}
	}
	mustClose(t, c)
}

func TestResident(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc")
	}
	const capacity = 32 << 20
	c := New[int](capacity)
	before := resident(t)
	for i := range 200 {
		mustGet(t, c, i, 1<<20-int64(i%7)*100_000).Release()
	}
	if grown := resident(t) - before; grown > capacity+24<<20 {
		t.Errorf("200 MiB through a cache of %d: grown by %d", capacity, grown)
	}
	mustClose(t, c)
}

func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func TestDrop(t *testing.T) {
	c := New[int](1 << 20)
	pinned := mustGet(t, c, 1, page)
	mustGet(t, c, 2, page).Release()
	mustGet(t, c, 3, page).Release()
	c.Drop(func(k int) bool { return k < 3 })
	if s := c.Stats(); s.Entries != 1 || s.Bytes != 3*page || s.Idle != page {
		t.Errorf("after Drop: %+v", s)
	}
	if !bytes.Equal(pinned.Bytes(), bytes.Repeat([]byte{1}, page)) {
		t.Error("a pinned buffer was overwritten")
	}
	again := mustGet(t, c, 1, page)
	if again == pinned {
		t.Error("a dropped buffer was found")
	}
	pinned.Release()
	again.Release()
	mustClose(t, c)
}

func TestDropWhileComputed(t *testing.T) {
	c := New[int](1 << 20)
	b, err := c.Get(ctx, 1, page, func(ctx context.Context, dst []byte) error {
		c.Drop(func(int) bool { return true })
		return fillWith(1)(ctx, dst)
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Stats(); s.Entries != 0 {
		t.Errorf("a value dropped while it was computed is kept: %+v", s)
	}
	b.Release()
	mustClose(t, c)
}

func TestResize(t *testing.T) {
	c := New[int](8 * page)
	var pinned []*Buf
	for i := range 8 {
		pinned = append(pinned, mustGet(t, c, i, page))
	}
	for _, b := range pinned[:4] {
		b.Release()
	}
	c.Resize(2 * page)
	if s := c.Stats(); s.Entries != 4 || s.Bytes != 4*page {
		t.Errorf("four are pinned: %+v", s)
	}
	for _, b := range pinned[4:] {
		b.Release()
	}
	if s := c.Stats(); s.Bytes > 2*page {
		t.Errorf("released, and still too many: %+v", s)
	}
	c.Resize(16 * page)
	for i := range 16 {
		mustGet(t, c, 100+i, page).Release()
	}
	if s := c.Stats(); s.Bytes != 16*page {
		t.Errorf("grown: %+v", s)
	}
	mustClose(t, c)
}

func TestClose(t *testing.T) {
	c := New[int](1 << 20)
	b := mustGet(t, c, 1, page)
	private := mustGet(t, c, 2, 2<<20)
	var leak *LeakError
	if err := c.Close(); !errors.As(err, &leak) {
		t.Fatalf("Close with two pinned: %v", err)
	}
	if leak.Buffers != 2 || leak.Bytes != page+2<<20 {
		t.Errorf("%+v", leak)
	}
	if debug && !strings.Contains(leak.Error(), "TestClose") {
		t.Errorf("the leak is not named: %v", leak)
	}
	if !bytes.Equal(b.Bytes(), bytes.Repeat([]byte{1}, page)) {
		t.Error("Close took a pinned buffer")
	}
	b.Release()
	private.Release()
	if _, err := c.Get(ctx, 1, page, fillWith(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
	mustClose(t, c)
}

func TestReleaseTwicePanics(t *testing.T) {
	c := New[int](0)
	b := mustGet(t, c, 1, 1)
	b.Release()
	defer func() {
		if recover() == nil {
			t.Error("a second Release went unnoticed")
		}
	}()
	b.Release()
}

func TestPoison(t *testing.T) {
	if !debug {
		t.Skip("poison needs -race or the tag lorafsdebug")
	}
	c := New[int](1 << 20)
	b := mustGet(t, c, 1, page)
	stale := b.Bytes()
	c.Drop(func(int) bool { return true })
	b.Release()
	if stale[0] != 0xDB {
		t.Errorf("released memory holds %x", stale[0])
	}
	mustClose(t, c)
}

func TestRoundUp(t *testing.T) {
	for _, tc := range []struct{ size, want int64 }{
		{0, page}, {1, page}, {page, page}, {page + 1, 2 * page}, {8 * page, 8 * page}, {9*page + 1, 10 * page},
		{16*page + 1, 18 * page}, {1 << 20, 1 << 20}, {1<<20 + 1, 1<<20 + 1<<17},
	} {
		if got := roundUp(tc.size); got != tc.want {
			t.Errorf("roundUp(%d) = %d, want %d", tc.size, got, tc.want)
		}
	}
	for size := int64(1); size < 1<<24; size += size/50 + 1 {
		got := roundUp(size)
		if got < size || got%page != 0 || got-size > max(page, size/8) || roundUp(got) != got {
			t.Fatalf("roundUp(%d) = %d", size, got)
		}
	}
}

// TestStress has readers of many sizes fight for little room, with drops, cancelled
// waits, failures and a bound that is looked at all the time.
func TestStress(t *testing.T) {
	const capacity = 40 * page
	c := New[int](capacity)
	var wg sync.WaitGroup
	var stop atomic.Bool
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		for !stop.Load() {
			if s := c.Stats(); s.Bytes > s.Capacity || s.Idle < 0 || s.Private < 0 {
				t.Errorf("bound broken: %+v", s)
				return
			}
		}
	}()
	boom := errors.New("boom")
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				key := (i*7 + g*13) % 60
				ctx, cancel := context.WithCancel(ctx)
				if i%11 == 0 {
					cancel()
				}
				b, err := c.Get(ctx, key, int64(key%5+1)*page-7, func(ctx context.Context, dst []byte) error {
					if i%17 == 0 {
						return boom
					}
					return fillWith(byte(key))(ctx, dst)
				})
				switch {
				case err == nil:
					for _, v := range b.Bytes() {
						if v != byte(key) {
							t.Errorf("key %d holds %d", key, v)
							break
						}
					}
					b.Release()
				case !errors.Is(err, boom) && !errors.Is(err, context.Canceled):
					t.Error(err)
				}
				cancel()
				if i%97 == 0 {
					c.Drop(func(k int) bool { return k%3 == 0 })
				}
			}
		})
	}
	wg.Wait()
	stop.Store(true)
	<-watch
	mustClose(t, c)
}

func TestHitDoesNotAllocate(t *testing.T) {
	if debug {
		t.Skip("traces allocate")
	}
	c := New[int](1 << 20)
	mustGet(t, c, 7, page).Release()
	seen := 0
	if n := testing.AllocsPerRun(100, func() {
		b, err := c.Get(ctx, 7, page, func(context.Context, []byte) error { seen++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	}); n != 0 || seen != 0 {
		t.Errorf("%v allocations a hit, %d computations", n, seen)
	}
	mustClose(t, c)
}

func BenchmarkHit(b *testing.B) {
	type key struct {
		model        uint64
		tensor, part int32
	}
	c := New[key](64 << 20)
	fill := func(context.Context, []byte) error { return nil }
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		buf, err := c.Get(ctx, key{1, int32(i % 64), 0}, 1<<20, fill)
		if err != nil {
			b.Fatal(err)
		}
		buf.Release()
	}
}

func BenchmarkMiss(b *testing.B) {
	c := New[int](8 << 20)
	fill := func(context.Context, []byte) error { return nil }
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		buf, err := c.Get(ctx, i, 1<<20, fill)
		if err != nil {
			b.Fatal(err)
		}
		buf.Release()
	}
}
