package fs

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// child names what this program does instead of running tests.
const child = "LORAFS_FS_TEST_CHILD"

var children = map[string]func(args []string) error{
	"hash":         childHash,
	"hold":         childHold,
	"serve":        childServe,
	"unprivileged": childUnprivileged,
	"attempt":      childAttempt,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(child); name != "" {
		if err := children[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	before := resources()
	code := m.Run()
	if left := leftOver(before); left != "" && code == 0 {
		fmt.Fprintln(os.Stderr, "FAIL: left over after the tests:", left)
		code = 1
	}
	os.Exit(code)
}

// used is what tests must give back.
type used struct{ mounts, goroutines, fds int }

func resources() used {
	info, _ := os.ReadFile("/proc/self/mountinfo")
	fds, _ := os.ReadDir("/proc/self/fd")
	return used{strings.Count(string(info), " "+fsType+" "), runtime.NumGoroutine(), len(fds)}
}

func leftOver(before used) string {
	var now used
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		now = resources()
		if now.mounts <= before.mounts && now.goroutines <= before.goroutines && now.fds <= before.fds {
			return ""
		}
	}
	stacks := make([]byte, 1<<16)
	return fmt.Sprintf("%+v, before %+v\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
}

// spawned is a child that waits until its stdin is closed.
type spawned struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err *bytes.Buffer
}

func spawn(t testing.TB, name string, args ...string) *spawned {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &spawned{Cmd: exec.Command(self, args...), err: new(bytes.Buffer)}
	c.Env = append(os.Environ(), child+"="+name)
	c.Stderr = c.err
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if c.in, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	return c
}

// line is the next line of the child's output.
func (c *spawned) line(t testing.TB) string {
	t.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		_ = c.Wait()
		t.Fatalf("child: %v: %s", err, c.err)
	}
	return strings.TrimSpace(s)
}

// finish lets the child end.
func (c *spawned) finish(t testing.TB) {
	t.Helper()
	_ = c.in.Close()
	if err := c.Wait(); err != nil {
		t.Fatalf("child: %v: %s", err, c.err)
	}
}

// childHash prints the hash of a file, mapped shared and mapped private.
func childHash(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	for _, flags := range []int{unix.MAP_SHARED, unix.MAP_PRIVATE} {
		b, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, flags)
		if err != nil {
			return err
		}
		fmt.Printf("%x\n", sha256.Sum256(b))
		if err := unix.Munmap(b); err != nil {
			return err
		}
	}
	return nil
}

// childHold keeps a file in use: "open", "map" or "cwd". When its stdin is closed it
// prints the hash of the file, if it still can.
func childHold(args []string) error {
	how, path := args[0], args[1]
	var read func() ([]byte, error)
	switch how {
	case "cwd":
		if err := os.Chdir(filepath.Dir(path)); err != nil {
			return err
		}
		read = func() ([]byte, error) { return nil, nil }
	case "open", "map":
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		st, err := f.Stat()
		if err != nil {
			return err
		}
		read = func() ([]byte, error) { return io.ReadAll(f) }
		if how == "map" {
			b, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
			if err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
			read = func() ([]byte, error) { return b, nil }
		}
	}
	fmt.Println("holding")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	b, err := read()
	fmt.Printf("%x\n", sha256.Sum256(b))
	return err
}

// childServe mounts a pair of its own, with matrices of the given number of rows, and
// serves until its stdin is closed.
func childServe(args []string) error {
	rows, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return err
	}
	p, err := writePair(args[0], size{rows, 4096}, false)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what making the inputs took
	closer, err := p.open("style")
	if err != nil {
		return err
	}
	s, err := Mount(args[1], Tree{Single: p.model}, Options{})
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return errors.Join(s.Close(context.Background()), closer())
}

// mounted is a mount of a test, closed with it.
type mounted struct {
	*Server
	dir string
}

// mountTree mounts t, or skips the test where FUSE is not to be had.
func mountTree(t testing.TB, tree Tree, o Options) mounted {
	t.Helper()
	dir := t.TempDir()
	s, err := Mount(dir, tree, o)
	var missing *FUSEMissingError
	var forbidden *PermissionError
	if errors.As(err, &missing) || errors.As(err, &forbidden) {
		skip(t, "fuse", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
			_ = s.CloseLazy()
		}
	})
	return mounted{s, dir}
}

func (m mounted) path(name string) string { return filepath.Join(m.dir, name) }

func (m mounted) read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(m.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
