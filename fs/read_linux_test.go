package fs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"lorafs/lazymerge"
)

// forceReads makes unchanged files be served by Read instead of passthrough.
func (m mounted) forceReads() { m.tree.backing.attach(nil) }

func TestReadersAgree(t *testing.T) {
	p := newPair(t, tiny, false)
	for _, through := range []bool{true, false} {
		m := mountTree(t, Tree{Single: p.model}, Options{})
		if !through {
			m.forceReads()
		}
		for _, name := range []string{mergedShard, baseShard, "config.json", ".lorafs/report.json"} {
			want := bytesOf(t, p.model, name)
			t.Run(fmt.Sprintf("%v/%s", through, filepath.Base(name)), func(t *testing.T) {
				t.Run("random", func(t *testing.T) { readRandomly(t, m.path(name), want) })
				t.Run("direct", func(t *testing.T) { readDirect(t, m.path(name), want) })
				t.Run("mapped", func(t *testing.T) { readMapped(t, m.path(name), want) })
				t.Run("dd", func(t *testing.T) { readByDD(t, m.path(name), want) })
			})
		}
	}
}

func readRandomly(t *testing.T, path string, want []byte) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			f, err := os.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for range 100 {
				off := r.Int64N(int64(len(want)) + 100)
				buf := make([]byte, 1+r.IntN(1<<r.IntN(18)))
				n, err := f.ReadAt(buf, off)
				rest := want[min(off, int64(len(want))):]
				if !bytes.Equal(buf[:n], rest[:min(len(rest), len(buf))]) || err != nil && (err != io.EOF || n == len(buf)) {
					t.Errorf("%d bytes at %d: %d, %v", len(buf), off, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// aligned is a buffer as O_DIRECT wants it.
func aligned(n int) []byte {
	b := make([]byte, n+4096)
	skip := 4096 - int(uintptr(unsafe.Pointer(&b[0]))%4096)
	return b[skip : skip+n]
}

func readDirect(t *testing.T, path string, want []byte) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off := 0; off < len(want); off += 64 << 10 {
		buf := aligned(64 << 10)
		n, err := f.ReadAt(buf, int64(off))
		if err != nil && err != io.EOF || !bytes.Equal(buf[:n], want[off:min(off+len(buf), len(want))]) {
			t.Fatalf("at %d: %d bytes, %v", off, n, err)
		}
	}
}

// readMapped has two processes map the file at a time. A test must not map its own
// mount: a fault would block the scheduler that is to serve it.
func readMapped(t *testing.T, path string, want []byte) {
	hash := fmt.Sprintf("%x", sha256.Sum256(want))
	a, b := spawn(t, "hash", path), spawn(t, "hash", path)
	for _, c := range []*spawned{a, b} {
		for _, how := range []string{"shared", "private"} {
			if got := c.line(t); got != hash {
				t.Errorf("mapped %s: %s, want %s", how, got, hash)
			}
		}
		c.finish(t)
	}
}

func readByDD(t *testing.T, path string, want []byte) {
	for _, bs := range []int{777, 65537} {
		out, err := exec.Command("dd", "if="+path, fmt.Sprintf("bs=%d", bs), "skip=1", "count=3", "status=none").Output()
		lo := min(bs, len(want))
		if err != nil || !bytes.Equal(out, want[lo:min(lo+3*bs, len(want))]) {
			t.Errorf("dd bs=%d: %d bytes, %v", bs, len(out), err)
		}
	}
}

func TestCopiesAreTrue(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	for _, tool := range [][]string{{"cp", "-r"}, {"cp", "-a", "--sparse=always"}, {"rsync", "-a"}} {
		if _, err := exec.LookPath(tool[0]); err != nil {
			t.Logf("without %s", tool[0])
			continue
		}
		out := filepath.Join(t.TempDir(), "copy")
		if said, err := exec.Command(tool[0], append(tool[1:], m.dir+"/.", out)...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", tool, err, said)
			continue
		}
		for _, e := range p.model.Entries() {
			if !bytes.Equal(mustRead(t, filepath.Join(out, e.Path)), bytesOf(t, p.model, e.Path)) {
				t.Errorf("%s: %s differs", tool, e.Path)
			}
		}
		if said, err := exec.Command("chmod", "-R", "u+w", out).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, said)
		}
	}
}

func TestSecondOpenDoesNotReadAgain(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	m.forceReads()
	for _, name := range []string{mergedShard, baseShard, "config.json"} {
		first := m.read(t, name)
		served := m.tree.stats.reads[kindMerged].count() + m.tree.stats.reads[kindBase].count()
		if served == 0 {
			t.Fatal("nothing was counted")
		}
		if !bytes.Equal(first, m.read(t, name)) {
			t.Errorf("%s: the second read differs", name)
		}
		if again := m.tree.stats.reads[kindMerged].count() + m.tree.stats.reads[kindBase].count(); again != served {
			t.Errorf("%s: %d reads more", name, again-served)
		}
	}
}

func TestPassthrough(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	if err := m.tryPassthrough(filepath.Join(p.base, baseShard)); err != nil {
		if len(m.Notes()) == 0 {
			t.Error("no note says that passthrough is not to be had")
		}
		skip(t, "passthrough", err.Error())
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if b, err := os.ReadFile(m.path(baseShard)); err != nil || !bytes.Equal(b, bytesOf(t, p.model, baseShard)) {
				t.Error("wrong bytes", err)
			}
		})
	}
	wg.Wait()
	s := &m.tree.stats
	if s.opens[kindPassthrough].Load() != 8 || s.opens[kindBase].Load() != 0 || s.reads[kindBase].count() != 0 {
		t.Errorf("%d by passthrough, %d by reads", s.opens[kindPassthrough].Load(), s.reads[kindBase].count())
	}
}

func TestReadAheadIsRaised(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	var st unix.Stat_t
	if err := unix.Stat(m.dir, &st); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	got := string(bytes.TrimSpace(mustRead(t, name)))
	if got != fmt.Sprint(readAheadKB) && len(m.Notes()) == 0 {
		t.Errorf("read_ahead_kb is %s, and no note says so", got)
	}
}

// TestInputsThatChange: a client gets EIO and never a wrong byte, and the others are
// served on.
func TestInputsThatChange(t *testing.T) {
	for _, through := range []bool{true, false} {
		p := newPair(t, tiny, false)
		m := mountTree(t, Tree{Single: p.model}, Options{})
		if !through {
			m.forceReads()
		}
		open, err := os.Open(m.path(mergedShard))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{filepath.Join(p.base, baseShard), filepath.Join(p.base, "config.json"), filepath.Join(p.base, mergedShard)} {
			if err := os.Truncate(path, 100); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(p.base, "modeling_custom.py")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{baseShard, "config.json", "modeling_custom.py"} {
			if b, err := os.ReadFile(m.path(name)); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: %d bytes, %v", name, len(b), err)
			}
		}
		if n, err := open.ReadAt(make([]byte, 4096), 50_000); !errors.Is(err, syscall.EIO) {
			t.Errorf("merged shard: %d bytes, %v", n, err)
		}
		open.Close()
		if m.tree.stats.errors.Load() == 0 {
			t.Error("no error was counted")
		}
		m.read(t, ".lorafs/report.txt")
		m.read(t, "model.safetensors.index.json")
	}
}

// TestRewrittenWhileOpen: the size stays, the bytes do not.
func TestRewrittenWhileOpen(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	m.forceReads()
	f, err := os.OpenFile(m.path(baseShard), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(aligned(4096), 0); err != nil {
		t.Fatal(err)
	}
	host := filepath.Join(p.base, baseShard)
	if err := os.WriteFile(host, make([]byte, entryOf(t, p.model, baseShard).Size), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(host, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(aligned(4096), 8192); !errors.Is(err, syscall.EIO) {
		t.Errorf("rewritten: %v", err)
	}
}

func TestPanicIsAnError(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	if _, err := os.Stat(m.path(".lorafs")); err != nil {
		t.Fatal(err)
	}
	dir := m.root.get(controlDir).(*directory)
	dir.set("broken", &control{tree: m.tree, render: func() []byte { panic("a bug") }}, time.Now())
	if _, err := os.ReadFile(m.path(".lorafs/broken")); !errors.Is(err, syscall.EIO) {
		t.Errorf("%v", err)
	}
	m.read(t, ".lorafs/stats.json")
}

// TestInterruptedRead: a client that gives up gets EINTR, which is no error of ours.
func TestInterruptedRead(t *testing.T) {
	p := newPair(t, tiny, false)
	tr := newTree(0, 0, nil, nil)
	node := tr.fileOf(p.model, entryOf(t, p.model, mergedShard), mergedShard).(*merged)
	opened, _, code := node.Open(context.Background(), unix.O_RDONLY)
	if code != 0 {
		t.Fatal(code)
	}
	h := opened.(*mergedHandle)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, n := range []int{100, 100_000} { // through a tile, and computed in place
		if _, code := h.Read(gone, make([]byte, n), 4096); code != syscall.EINTR {
			t.Errorf("%d bytes: %v", n, code)
		}
	}
	if _, code := h.Read(context.Background(), make([]byte, 100), 4096); code != 0 {
		t.Error(code)
	}
	if tr.stats.errors.Load() != 0 || tr.stats.interrupted.Load() != 2 {
		t.Errorf("%d errors, %d interrupted", tr.stats.errors.Load(), tr.stats.interrupted.Load())
	}
	if code := h.Release(context.Background()); code != 0 || tr.handles.count() != 0 {
		t.Error(code, tr.handles.count())
	}
}

// TestReplaceUnderReaders: whoever opens a file reads one model or the other whole.
func TestReplaceUnderReaders(t *testing.T) {
	p := newPair(t, tiny, false)
	other := newPair(t, tiny, true)
	m := mountTree(t, Tree{Models: []*lazymerge.Model{p.model}}, Options{})
	one, two := bytesOf(t, p.model, mergedShard), bytesOf(t, other.model, mergedShard)
	if bytes.Equal(one, two) {
		t.Fatal("the models do not differ")
	}
	var stop atomic.Bool
	var seen [2]atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				b, err := os.ReadFile(m.path("style/" + mergedShard))
				switch {
				case bytes.Equal(b, one):
					seen[0].Add(1)
				case bytes.Equal(b, two):
					seen[1].Add(1)
				case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ESTALE): // between two lookups
				default:
					t.Errorf("%d bytes of neither, %v", len(b), err)
					return
				}
			}
		})
	}
	turn := 0
	eventually(t, "both were read twenty times", func() bool {
		turn++
		if err := m.Replace([]*lazymerge.Model{other.model, p.model}[turn%2]); err != nil {
			t.Error(err)
		}
		return t.Failed() || seen[0].Load() >= 20 && seen[1].Load() >= 20
	})
	stop.Store(true)
	wg.Wait()
}
