//go:build unix

package kernel_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"lorafs/lazymerge/kernel"
)

// fence returns a copy of b in pages of its own between two that cannot be touched: at
// the end of its pages, or at their beginning.
func fence(t testing.TB, b []byte, atEnd bool) []byte {
	t.Helper()
	page := os.Getpagesize()
	size := (len(b) + page - 1) / page * page
	all, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(all); err != nil {
			t.Error(err)
		}
	})
	for _, guard := range [][]byte{all[:page], all[page+size:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	inside := all[page : page+size]
	if atEnd {
		inside = inside[size-len(b):]
	}
	inside = inside[:len(b)]
	copy(inside, b)
	return inside
}

// TestGuardPages crashes where a tier reads or writes outside.
func TestGuardPages(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(41, 42))
		for n := range 60 {
			cols := []int{1, 15, 16, 31, 33, 64, 65, 127, 128, 200}[n%10]
			rank := 1 + n%5 + []int{0, 0, 0, 0, 33, 130}[n/10]
			c := newCase(r, 1+n%8, cols, rank, dtypes[n%3], []uint32{brain, full}[n/3%2])
			args := c.args()
			args.Rounding = kernel.Rounding(n % 2)
			kernel.AddLowRank(&args)
			want := args.Dst
			for _, atEnd := range []bool{false, true} {
				args.Src = fence(t, c.src, atEnd)
				args.Dst = fence(t, c.src, atEnd)
				args.A = kernel.View(fence(t, c.packed, atEnd), c.rank, c.cols)
				kernel.AddLowRank(&args)
				if !bytes.Equal(args.Dst, want) {
					t.Fatalf("%d×%d rank %d, at end %v: another result", c.rows, c.cols, c.rank, atEnd)
				}
				kernel.SumRows(make([]float32, c.rows*c.cols), &args)
			}
		}
	})
}
