package transform_test

import (
	"context"
	"testing"
	"unsafe"

	"lorafs/lazymerge/transform"
)

func aligned(n int64) []byte {
	b := make([]byte, n+64)
	off := -int64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & 63
	return b[off : off+n : off+n]
}

// bindPacked binds a transform, packs it and prepares it from base.
func bindPacked(t testing.TB, x transform.Transform, p transform.Param, r transform.Rounding, base []byte) (transform.Bound, []byte) {
	t.Helper()
	b, err := x.Bind(p, r)
	if err != nil {
		t.Fatal(err)
	}
	packed := aligned(b.PackSize())
	if err := b.Pack(context.Background(), packed); err != nil {
		t.Fatal(err)
	}
	prep, ok := b.(transform.Preparer)
	if !ok {
		return b, packed
	}
	row := int64(len(base)) / p.Shape[0]
	err = prep.Prepare(context.Background(), packed, func(_ context.Context, dst []byte, lo, hi int64) error {
		copy(dst, base[lo*row:hi*row])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b, packed
}

// merge runs a transform over a whole parameter, a few rows at a time and in place.
func merge(t testing.TB, x transform.Transform, p transform.Param, r transform.Rounding, base []byte) []byte {
	t.Helper()
	b, packed := bindPacked(t, x, p, r, base)
	whole := make([]byte, len(base))
	if err := b.Rows(context.Background(), whole, base, packed, 0, p.Shape[0]); err != nil {
		t.Fatal(err)
	}
	pieces := append([]byte(nil), base...)
	row := int64(len(base)) / p.Shape[0]
	for lo := int64(0); lo < p.Shape[0]; lo += 3 {
		hi := min(lo+3, p.Shape[0])
		part := pieces[lo*row : hi*row]
		if err := b.Rows(context.Background(), part, part, packed, lo, hi); err != nil {
			t.Fatal(err)
		}
	}
	if string(whole) != string(pieces) {
		t.Fatal("three rows at a time, in place, gives another result than all at once")
	}
	return whole
}
