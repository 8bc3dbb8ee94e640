package lazymerge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"lorafs/cache"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

const (
	swapRows = 50
	swapCols = 7
)

// reversal is an edit that turns every group of rows around, and adds to each byte
// what it packed of the base: the sum of the first bytes of all rows.
type reversal struct {
	group int64
	packs *atomic.Int32
	fail  *atomic.Bool
}

var _ transform.FromBase = reversal{}

func (r reversal) Bind(transform.Param, transform.Rounding) (transform.Bound, error) { return r, nil }
func (r reversal) Describe() transform.Description                                   { return transform.Description{} }
func (r reversal) Tensors() []*safetensors.Tensor                                    { return nil }
func (r reversal) Group() int64                                                      { return r.group }
func (r reversal) PackSize() int64                                                   { return 1 }
func (r reversal) Pack(context.Context, []byte) error                                { return errors.New("not from the base") }

func (r reversal) PackFrom(ctx context.Context, dst []byte, rows func(ctx context.Context, dst []byte, lo, hi int64) error) error {
	if r.fail.Load() {
		return errors.New("broken")
	}
	r.packs.Add(1)
	dst[0] = 0
	buf := make([]byte, 3*swapCols)
	for lo := int64(0); lo < swapRows; lo += 3 { // blocks across the ends of groups
		hi := min(lo+3, swapRows)
		if err := rows(ctx, buf[:(hi-lo)*swapCols], lo, hi); err != nil {
			return err
		}
		for i := range hi - lo {
			dst[0] += buf[i*swapCols]
		}
	}
	return nil
}

func (r reversal) Rows(_ context.Context, dst, src, packed []byte, lo, hi int64) error {
	if lo%r.group != 0 || hi%r.group != 0 && hi != swapRows {
		return fmt.Errorf("rows %d to %d are no groups of %d", lo, hi, r.group)
	}
	out := make([]byte, 0, len(dst))
	for at := lo; at < hi; at += r.group {
		for i := min(at+r.group, hi) - 1; i >= at; i-- {
			for _, x := range src[(i-lo)*swapCols : (i-lo+1)*swapCols] {
				out = append(out, x+packed[0])
			}
		}
	}
	copy(dst, out)
	return nil
}

// reversed is what the edits make of the base.
func reversed(data []byte, groups []int64) []byte {
	for _, g := range groups {
		sum := byte(0)
		for i := range swapRows {
			sum += data[i*swapCols]
		}
		out := make([]byte, len(data))
		if err := (reversal{group: g}).Rows(context.Background(), out, data, []byte{sum}, 0, swapRows); err != nil {
			panic(err)
		}
		data = out
	}
	return data
}

func newReversed(t *testing.T, c *cache.Cache[Key], number int32, packs *atomic.Int32, fail *atomic.Bool, groups ...int64) (*merged, []byte) {
	t.Helper()
	data := make([]byte, swapRows*swapCols)
	for i := range data {
		data[i] = byte(i * 7)
	}
	from, err := safetensors.FromBytes(safetensors.Info{Name: "w", DType: safetensors.U8, Shape: []int64{swapRows, swapCols}}, data)
	if err != nil {
		t.Fatal(err)
	}
	o := &output{slot: slot{name: "w", from: from}, info: from.Info}
	for _, g := range groups {
		be, err := placedEdit{Edit: transform.Edit{Transform: reversal{g, packs, fail}}}.bind(transform.Param{Info: from.Info}, transform.PEFT)
		if err != nil {
			t.Fatal(err)
		}
		o.chain = append(o.chain, be)
	}
	return newMerged(o, Key{Tensor: number}, Options{Cache: c}), reversed(data, groups)
}

func TestGroupsOfRows(t *testing.T) {
	c := cache.New[Key](1 << 20)
	defer c.Close()
	for i, groups := range [][]int64{{1}, {2}, {5}, {7}, {50}, {64}, {2, 5}, {6, 4}, {7, 50}} {
		var packs atomic.Int32
		m, want := newReversed(t, c, int32(i), &packs, new(atomic.Bool), groups...)
		r := rand.New(rand.NewPCG(5, uint64(i)))
		for range 300 {
			off := r.IntN(len(want))
			got := make([]byte, 1+r.IntN(len(want)-off))
			if err := m.readAt(t.Context(), got, int64(off)); err != nil {
				t.Fatalf("%v: %v", groups, err)
			}
			if string(got) != string(want[off:off+len(got)]) {
				t.Fatalf("%v: bytes differ at %d to %d", groups, off, off+len(got))
			}
		}
		if n := packs.Load(); int(n) != len(groups) {
			t.Errorf("%v: packed %d times", groups, n)
		}
	}
}

// TestPackedFromBase: what is packed from the base is made once for many readers,
// again after an eviction, and after a failure.
func TestPackedFromBase(t *testing.T) {
	c := cache.New[Key](1 << 20)
	defer c.Close()
	var packs atomic.Int32
	var fail atomic.Bool
	m, want := newReversed(t, c, 0, &packs, &fail, 5)
	read := func() error {
		got := make([]byte, len(want))
		err := m.readAt(t.Context(), got, 0)
		if err == nil && string(got) != string(want) {
			err = errors.New("bytes differ")
		}
		return err
	}
	fail.Store(true)
	if err := read(); err == nil || err.Error() != "broken" {
		t.Fatalf("%v", err)
	}
	fail.Store(false)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := read(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := packs.Load(); n != 1 {
		t.Errorf("packed %d times", n)
	}
	c.Drop(func(Key) bool { return true })
	if err := read(); err != nil || packs.Load() != 2 {
		t.Errorf("packed %d times: %v", packs.Load(), err)
	}
	c.Drop(func(Key) bool { return true })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.readAt(ctx, make([]byte, len(want)), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestGroupsOfParts(t *testing.T) {
	for _, x := range []struct{ first, count, total, group, want int64 }{
		{0, 6, 12, 3, 3}, {6, 6, 12, 4, 12}, {8, 4, 12, 4, 4}, {8, 3, 11, 4, 4}, {0, 5, 12, 4, 12}, {4, 4, 12, 1, 1},
	} {
		b := partBound{Bound: reversal{group: x.group}, first: x.first, count: x.count, total: x.total}
		if got := b.Group(); got != x.want {
			t.Errorf("%+v: %d", x, got)
		}
	}
}
