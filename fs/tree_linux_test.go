package fs

import (
	"bytes"
	"encoding/json"
	"errors"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTreeOfOneModel(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{Cache: p.cache.Stats})
	want := []string{".lorafs/metrics", ".lorafs/stats.json"}
	for _, e := range p.model.Entries() {
		want = append(want, e.Path)
		if got := m.read(t, e.Path); !bytes.Equal(got, bytesOf(t, p.model, e.Path)) {
			t.Errorf("%s: %d wrong bytes", e.Path, len(got))
		}
	}
	slices.Sort(want)
	var got []string
	err := filepath.WalkDir(m.dir, func(path string, d iofs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(m.dir, path)
			got = append(got, rel)
		}
		return err
	})
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n got %q\nwant %q", err, got, want)
	}
	if _, err := os.Stat(m.path("adapter_config.json")); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("adapter_config.json: %v", err)
	}
	if bytes.Equal(m.read(t, mergedShard), mustRead(t, filepath.Join(p.base, mergedShard))) {
		t.Error("the merged shard is the base's: the fixture tests nothing")
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAttributes(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	seen := make(map[uint64]string)
	err := filepath.WalkDir(m.dir, func(path string, d iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st, again unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if err := unix.Lstat(path, &again); err != nil || again.Ino != st.Ino {
			t.Errorf("%s: inode %d, then %d (%v)", path, st.Ino, again.Ino, err)
		}
		if other := seen[st.Ino]; other != "" || st.Ino == 0 {
			t.Errorf("%s and %s have inode %d", path, other, st.Ino)
		}
		seen[st.Ino] = path
		if st.Uid != uint32(os.Getuid()) || st.Gid != uint32(os.Getgid()) {
			t.Errorf("%s: owner %d:%d", path, st.Uid, st.Gid)
		}
		if d.IsDir() {
			checkDir(t, path, st)
		} else if st.Mode != unix.S_IFREG|0o444 || st.Nlink != 1 || st.Blocks != (st.Size+511)/512 {
			t.Errorf("%s: mode %o, %d links, size %d in %d blocks", path, st.Mode, st.Nlink, st.Size, st.Blocks)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, e := range p.model.Entries() {
		st, err := os.Stat(m.path(e.Path))
		if err != nil || st.Size() != e.Size || !st.ModTime().Equal(e.ModTime) {
			t.Errorf("%s: %v, %v; want %d, %v", e.Path, err, st, e.Size, e.ModTime)
		}
	}
}

func checkDir(t *testing.T, path string, st unix.Stat_t) {
	t.Helper()
	list, err := os.ReadDir(path)
	if err != nil {
		t.Error(err)
	}
	links := uint64(2)
	for _, d := range list {
		if d.IsDir() {
			links++
		}
	}
	if st.Mode != unix.S_IFDIR|0o555 || uint64(st.Nlink) != links || st.Mtim.Sec == 0 {
		t.Errorf("%s: mode %o, %d links, want %d, mtime %d", path, st.Mode, st.Nlink, links, st.Mtim.Sec)
	}
}

func TestListing(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	ls := func(flags ...string) []string {
		out, err := exec.Command("ls", append(flags, m.dir)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	if slices.Contains(ls("-1"), ".lorafs") {
		t.Error("ls shows .lorafs")
	}
	all := ls("-1a")
	for _, name := range []string{".", "..", ".lorafs", "config.json", "tokenizer"} {
		if !slices.Contains(all, name) {
			t.Errorf("ls -a does not show %s: %q", name, all)
		}
	}
	out, err := exec.Command("du", "--block-size=1", "-s", m.dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, e := range p.model.Entries() {
		total += (e.Size + 511) / 512 * 512
	}
	got, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil || got < total || got > total+64<<10 { // the control files beside
		t.Errorf("du says %d, the entries have %d (%v)", got, total, err)
	}
}

func TestStatfs(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	total := int64(0)
	for _, e := range p.model.Entries() {
		total += e.Size
	}
	for _, path := range []string{m.dir, m.path("tokenizer"), m.path("config.json"), m.path(mergedShard), m.path(".lorafs/metrics")} {
		var st unix.Statfs_t
		if err := unix.Statfs(path, &st); err != nil {
			t.Fatal(err)
		}
		if st.Bsize != 4096 || int64(st.Blocks) != (total+4095)/4096 || st.Bfree != 0 || st.Bavail != 0 || st.Ffree != 0 ||
			int(st.Files) != len(p.model.Entries())+2 || st.Namelen != 255 {
			t.Errorf("%s: %+v", path, st)
		}
	}
}

func TestEveryWriteIsRefused(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	for _, name := range []string{"config.json", mergedShard, ".lorafs/report.json", ".lorafs/metrics"} {
		file, fresh := m.path(name), m.path("fresh")
		for what, err := range map[string]error{
			"open to write":  try(os.OpenFile(file, os.O_WRONLY, 0)),
			"open to append": try(os.OpenFile(file, os.O_RDWR|os.O_APPEND, 0)),
			"open O_TRUNC":   try(os.OpenFile(file, os.O_RDONLY|os.O_TRUNC, 0)),
			"create":         try(os.Create(fresh)),
			"mkdir":          os.Mkdir(fresh, 0o755),
			"unlink":         unix.Unlink(file),
			"rmdir":          unix.Rmdir(m.path("tokenizer")),
			"rename":         os.Rename(file, fresh),
			"link":           os.Link(file, fresh),
			"symlink":        os.Symlink(file, fresh),
			"mknod":          unix.Mknod(fresh, unix.S_IFIFO|0o644, 0),
			"chmod":          os.Chmod(file, 0o600),
			"chown":          os.Chown(file, 1, 1),
			"truncate":       os.Truncate(file, 0),
			"utimes":         unix.Utimes(file, []unix.Timeval{{}, {}}),
			"setxattr":       unix.Setxattr(file, "user.a", []byte("b"), 0),
			"access":         unix.Access(file, unix.W_OK),
		} {
			if !errors.Is(err, syscall.EROFS) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
	}
	if readOnly(syscall.O_RDWR) != syscall.EROFS || readOnly(syscall.O_TRUNC) != syscall.EROFS || readOnly(syscall.O_RDONLY|syscall.O_DIRECTORY) != 0 {
		t.Error("readOnly")
	}
}

func try(f *os.File, err error) error {
	if err == nil {
		f.Close()
	}
	return err
}

func TestExtendedAttributes(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{})
	_, err := unix.Getxattr(m.path("config.json"), "user.a", make([]byte, 10))
	if !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENODATA) {
		t.Errorf("getxattr: %v", err)
	}
	if n, err := unix.Listxattr(m.path("config.json"), make([]byte, 10)); n > 0 || err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Errorf("listxattr: %d, %v", n, err)
	}
}

func TestControlFiles(t *testing.T) {
	p := newPair(t, tiny, false)
	m := mountTree(t, Tree{Single: p.model}, Options{Cache: p.cache.Stats})
	m.read(t, mergedShard)
	for _, name := range []string{".lorafs/stats.json", ".lorafs/metrics"} {
		f, err := os.Open(m.path(name))
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		whole := make([]byte, st.Size()+100)
		n, _ := f.ReadAt(whole, 0)
		if int64(n) != st.Size() {
			t.Errorf("%s: size %d, %d bytes", name, st.Size(), n)
		}
		m.read(t, mergedShard) // the picture of an open file stands still
		again := make([]byte, n)
		if _, err := f.ReadAt(again, 0); err != nil || !bytes.Equal(again, whole[:n]) {
			t.Errorf("%s changed while it was open (%v)", name, err)
		}
		f.Close()
		copied := filepath.Join(t.TempDir(), "copy")
		if out, err := exec.Command("cp", m.path(name), copied).CombinedOutput(); err != nil {
			t.Errorf("cp: %v: %s", err, out)
		} else if len(mustRead(t, copied)) < 100 {
			t.Errorf("cp %s: %d bytes", name, len(mustRead(t, copied)))
		}
	}
	var d statsDocument
	if err := json.Unmarshal(m.read(t, ".lorafs/stats.json"), &d); err != nil {
		t.Fatal(err)
	}
	size := entryOf(t, p.model, mergedShard).Size
	if d.Models != 1 || d.Reads["merged"].Bytes < size || d.Opens["merged"] < 3 || d.Cache == nil || d.Cache.Capacity != 16<<20 || d.UptimeSeconds <= 0 {
		t.Errorf("%+v", d)
	}
	checkPrometheus(t, string(m.read(t, ".lorafs/metrics")))
}

func checkPrometheus(t *testing.T, text string) {
	t.Helper()
	values := make(map[string]float64)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if _, twice := values[line[:i]]; err != nil || twice {
			t.Errorf("line %q: %v", line, err)
		}
		values[line[:i]] = v
	}
	last := values[`lorafs_read_seconds_bucket{kind="merged",le="+Inf"}`]
	if last == 0 || last != values[`lorafs_read_seconds_count{kind="merged"}`] || values["lorafs_models"] != 1 ||
		values[`lorafs_read_bytes_total{kind="merged"}`] == 0 || values["lorafs_cache_capacity_bytes"] == 0 {
		t.Errorf("%s", text)
	}
}
