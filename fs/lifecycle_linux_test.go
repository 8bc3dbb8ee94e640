package fs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lorafs/lazymerge"
)

func TestMountpointsThatAreRefused(t *testing.T) {
	p := newPair(t, tiny, false)
	dir := t.TempDir()
	full, file, link := filepath.Join(dir, "full"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	inside := filepath.Join(p.base, "inside")
	for _, d := range []string{filepath.Join(full, "sub"), inside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(inside, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, reason string }{
		{filepath.Join(dir, "absent"), "does not exist"},
		{filepath.Join(dir, "absent", "below"), "cannot be resolved"},
		{file, "is not a directory"},
		{full, "is not empty"},
		{inside, "lies in the input"},
		{link, "lies in the input"},
		{p.base, "is the input"},
		{filepath.Dir(p.base), "holds the input"},
	} {
		s, err := Mount(c.path, Tree{Single: p.model}, Options{Inputs: []string{p.adapter, p.base, "org/name"}})
		var unfit *MountpointError
		if !errors.As(err, &unfit) || !strings.Contains(unfit.Reason, c.reason) {
			t.Errorf("%s: %v, want: %s", c.path, err, c.reason)
		}
		if err == nil {
			_ = s.CloseLazy()
		}
	}
}

func TestMountpointInUse(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	_, err := Mount(m.dir, Tree{Single: p.model}, Options{})
	var unfit *MountpointError
	if !errors.As(err, &unfit) || !strings.Contains(unfit.Reason, "already") {
		t.Errorf("%v", err)
	}
	m.read(t, "config.json")
}

func TestMountpointBySymlink(t *testing.T) {
	p := newPair(t, tiny, false)
	mountTree(t, Tree{Single: p.model}, Options{}) // skips without FUSE
	dir := t.TempDir()
	real, link := filepath.Join(dir, "with space"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(real, 0o755), os.Symlink("with space", link)); err != nil {
		t.Fatal(err)
	}
	s, err := Mount(link, Tree{Single: p.model}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Mountpoint() != real {
		t.Errorf("mounted on %q", s.Mountpoint())
	}
	if err := Unmount(link, false); err != nil {
		t.Error(err)
	}
	s.Wait()
}

func TestUnmountRefusesWhatIsNotOurs(t *testing.T) {
	for path, kind := range map[string]string{t.TempDir(): "", "/proc": "proc", "/absent/path": ""} {
		var not *NotMountedError
		if err := Unmount(path, false); !errors.As(err, &not) || not.Type != kind {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestBusy(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	hash := fmt.Sprintf("%x", sha256.Sum256(bytesOf(t, p.model, mergedShard)))
	for how, what := range map[string]string{"open": "open file " + mergedShard, "map": "mapped file " + mergedShard, "cwd": "working directory"} {
		c := spawn(t, "hold", how, m.path(mergedShard))
		c.line(t)
		short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		err := m.Close(short)
		cancel()
		var busy *BusyError
		if !errors.As(err, &busy) || len(busy.Holders) != 1 || busy.Holders[0].PID != c.Process.Pid || busy.Holders[0].What != what {
			t.Errorf("%s: %v", how, err)
		}
		if how == "open" {
			if err := Unmount(m.dir, false); !errors.As(err, &busy) || !strings.Contains(err.Error(), fmt.Sprint(c.Process.Pid)) {
				t.Errorf("Unmount: %v", err)
			}
		}
		_ = c.in.Close()
		if got := c.line(t); how != "cwd" && got != hash {
			t.Errorf("%s: the holder read %s, want %s", how, got, hash)
		}
		c.finish(t)
	}
	m.read(t, "config.json")
}

func TestDetachedTreeIsReadOn(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	c := spawn(t, "hold", "open", m.path(mergedShard))
	c.line(t)
	if err := Unmount(m.dir, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.path("config.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the tree is still there: %v", err)
	}
	_ = c.in.Close()
	if got, want := c.line(t), fmt.Sprintf("%x", sha256.Sum256(bytesOf(t, p.model, mergedShard))); got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	c.finish(t)
	m.Wait()
	if n := m.tree.handles.count(); n != 0 {
		t.Errorf("%d files are open", n)
	}
}

// TestAbortedConnection: no close of the open files arrives, and they are closed.
func TestAbortedConnection(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	f, err := os.Open(m.path(mergedShard))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Stat(m.dir, &st); err != nil {
		t.Fatal(err)
	}
	abort := fmt.Sprintf("/sys/fs/fuse/connections/%d/abort", unix.Minor(st.Dev))
	if err := os.WriteFile(abort, []byte("1"), 0); err != nil {
		_ = unix.Mount("fusectl", "/sys/fs/fuse/connections", "fusectl", 0, "")
		if err := os.WriteFile(abort, []byte("1"), 0); err != nil {
			skip(t, "fusectl", err.Error())
		}
		t.Cleanup(func() { _ = unix.Unmount("/sys/fs/fuse/connections", 0) })
	}
	m.Wait()
	if n := m.tree.handles.count(); n != 0 {
		t.Errorf("%d files are open", n)
	}
	f.Close()
	if err := Unmount(m.dir, true); err != nil {
		t.Error(err)
	}
}

// TestStaleMount: the process that served a mount is killed; mounting there again
// clears it away, and umount can.
func TestStaleMount(t *testing.T) {
	p := newPair(t, tiny, false)
	mountTree(t, Tree{Single: p.model}, Options{}) // skips without FUSE
	for _, again := range []bool{true, false} {
		dir := t.TempDir()
		c := spawn(t, "serve", t.TempDir(), dir, "16")
		c.line(t)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		eventually(t, "the mount is dead", func() bool {
			var st unix.Statfs_t
			return errors.Is(unix.Statfs(dir, &st), unix.ENOTCONN)
		})
		if !again {
			if err := Unmount(dir, false); err != nil {
				t.Error(err)
			}
			continue
		}
		s, err := Mount(dir, Tree{Single: p.model}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.ReadFile(filepath.Join(dir, "config.json")); err != nil {
			t.Error(err)
		}
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestServerInAnotherProcess(t *testing.T) {
	p := newPair(t, tiny, false)
	mountTree(t, Tree{Single: p.model}, Options{}) // skips without FUSE
	dir := t.TempDir()
	c := spawn(t, "serve", t.TempDir(), dir, "16")
	c.line(t)
	if err := Unmount(dir, false); err != nil {
		t.Error(err)
	}
	c.finish(t) // its Close finds the tree unmounted
}

func TestAllowOther(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{AllowOther: true})
	info := string(mustRead(t, "/proc/self/mountinfo"))
	for line := range strings.Lines(info) {
		if strings.Contains(line, m.dir) && (!strings.Contains(line, "allow_other") || !strings.Contains(line, "default_permissions") || !strings.Contains(line, "ro,nosuid,nodev")) {
			t.Error(line)
		}
	}
}

func TestParseMount(t *testing.T) {
	at, kind, ok := parseMount(`36 35 0:40 / /mnt/a\040b ro,nosuid shared:1 - fuse.lorafs lorafs ro,user_id=0`)
	if at != "/mnt/a b" || kind != "fuse.lorafs" || !ok {
		t.Error(at, kind, ok)
	}
	if _, _, ok := parseMount("nonsense"); ok {
		t.Error("nonsense was understood")
	}
}

func TestLiveLibrary(t *testing.T) {
	p := newPair(t, tiny, false)
	other := *p
	second := other.openAs(t, "other")
	m := mountTree(t, Tree{Models: []*lazymerge.Model{p.model}, Invalid: []Invalid{{"bad", "what is wrong\n"}}}, Options{})
	if got := string(m.read(t, "bad.INVALID")); got != "what is wrong\n" {
		t.Errorf("bad.INVALID: %q", got)
	}
	for _, absent := range []string{"other", "bad", "model.safetensors.index.json"} {
		if _, err := os.Stat(m.path(absent)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", absent, err)
		}
	}
	m.read(t, "style/.lorafs/report.json")
	if err := m.Add(second); err != nil {
		t.Fatal(err)
	}
	shows := func(names ...string) {
		t.Helper()
		want := strings.Join(append([]string{".lorafs"}, names...), " ")
		eventually(t, "the root shows "+want, func() bool {
			list, err := os.ReadDir(m.dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range list {
				got = append(got, e.Name())
			}
			return strings.Join(got, " ") == want
		})
	}
	shows("bad.INVALID", "other", "style")
	m.read(t, "other/"+mergedShard)

	held, err := os.Open(m.path("other/" + mergedShard))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := m.Remove("other"); err != nil {
		t.Fatal(err)
	}
	shows("bad.INVALID", "style")
	if _, err := os.Stat(m.path("other/config.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	if err := second.Close(); err != nil { // the open file keeps it
		t.Fatal(err)
	}
	unix.Fadvise(int(held.Fd()), 0, 0, unix.FADV_DONTNEED)
	b := make([]byte, entryOf(t, second, mergedShard).Size)
	if _, err := held.ReadAt(b, 0); err != nil {
		t.Errorf("an open file of a removed model: %v", err)
	}
	if sha256.Sum256(b) != sha256.Sum256(bytesOf(t, p.model, mergedShard)) {
		t.Error("an open file of a removed model changed")
	}

	if err := m.AddInvalid(Invalid{"style", "broken in the meantime"}); err != nil {
		t.Fatal(err)
	}
	shows("bad.INVALID", "style.INVALID")
	if err := m.Replace(p.model); err != nil {
		t.Fatal(err)
	}
	shows("bad.INVALID", "style")
	var before, after unix.Stat_t
	if err := unix.Stat(m.path("style/"+mergedShard), &before); err != nil {
		t.Fatal(err)
	}
	if err := m.Replace(p.model); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat(m.path("style/"+mergedShard), &after); err != nil || after.Ino == before.Ino {
		t.Errorf("a replaced file has inode %d, as before (%v)", after.Ino, err)
	}
	var unfit *NameError
	for what, err := range map[string]error{
		"add twice":     m.Add(p.model),
		"remove nobody": m.Remove("nobody"),
		"bad name":      m.AddInvalid(Invalid{Name: "../x"}),
		"control":       m.AddInvalid(Invalid{Name: ".lorafs"}),
	} {
		if !errors.As(err, &unfit) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(m.dir, &st); err != nil || int(st.Files) != len(p.model.Entries())+3 {
		t.Errorf("%d files, %v", st.Files, err)
	}
}

func TestSingleIsNoLibrary(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	var unfit *NameError
	if err := m.Add(p.model); !errors.As(err, &unfit) {
		t.Errorf("%v", err)
	}
}

// TestMemoryIsBounded: a daemon through which much more than its cache was read, by
// many at a time, holds its cache of 16 MiB and no more than 64 MiB beside. The pages
// of mapped inputs do not count: the kernel can drop them.
func TestMemoryIsBounded(t *testing.T) {
	p := newPair(t, tiny, false)
	mountTree(t, Tree{Single: p.model}, Options{}) // skips without FUSE
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	dir := t.TempDir()
	c := spawn(t, "serve", t.TempDir(), dir, "16384")
	c.line(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			f, err := os.OpenFile(filepath.Join(dir, mergedShard), os.O_RDONLY|unix.O_DIRECT, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			buf := aligned([]int{1 << 20, 64 << 10}[g%2])
			for off := int64(g) * 16 << 20; off < int64(g+1)*16<<20; off += int64(len(buf)) {
				if _, err := f.ReadAt(buf, off); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	status := string(mustRead(t, fmt.Sprintf("/proc/%d/status", c.Process.Pid)))
	_, rest, _ := strings.Cut(status, "RssAnon:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("RssAnon %d MiB", kib>>10)
	if kib>>10 > 16+64 {
		t.Errorf("RssAnon is %d MiB", kib>>10)
	}
	c.finish(t)
}
