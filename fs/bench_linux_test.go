package fs

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkRead reads 256 MiB through a mount, cold for the mount and warm for the
// inputs: the input's own speed, an unchanged file by passthrough and by Read, and a
// file merged with an adapter whose factors are zero. "again" finds the kernel's pages.
func BenchmarkRead(b *testing.B) {
	p := newPair(b, size{32768, 4096}, true)
	through := mountTree(b, Tree{Single: p.model}, Options{})
	reads := mountTree(b, Tree{Single: p.model}, Options{})
	reads.forceReads()
	b.Run("native", func(b *testing.B) { readCold(b, filepath.Join(p.base, baseShard), false) })
	b.Run("passthrough", func(b *testing.B) { readCold(b, through.path(baseShard), false) })
	b.Run("base", func(b *testing.B) { readCold(b, reads.path(baseShard), true) })
	b.Run("merged", func(b *testing.B) { readCold(b, reads.path(mergedShard), true) })
	b.Run("merged again", func(b *testing.B) { readCold(b, reads.path(mergedShard), false) })
}

func readCold(b *testing.B, path string, drop bool) {
	buf := make([]byte, 1<<20)
	for b.Loop() {
		b.StopTimer()
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if drop {
			if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		total := int64(0)
		for {
			n, err := f.Read(buf)
			total += int64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		b.SetBytes(total)
		f.Close()
		b.StartTimer()
	}
}
