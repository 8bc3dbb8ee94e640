package fs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// elsewhere runs this program's child in a mount name space of its own, which the
// shell script prepares: $0 is a directory open to all, run starts the child in it.
func elsewhere(t *testing.T, name, script string) string {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "root", "only root can become another user")
	}
	for _, program := range []string{"unshare", "setpriv", "fusermount3"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, "fuse", err.Error())
		}
	}
	if _, err := os.Stat(devFuse); err != nil {
		skip(t, "fuse", err.Error())
	}
	dir, err := os.MkdirTemp("", "lorafs-nobody") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fs.test"), mustRead(t, self), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, dir)
	cmd.Env = append(os.Environ(), child+"="+name, "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

const asNobody = `exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0/fs.test" "$0"`

// TestUnprivileged mounts as nobody, through fusermount3. /dev/fuse is open to all.
func TestUnprivileged(t *testing.T) {
	out := elsewhere(t, "unprivileged", `mknod -m 666 "$0/fuse" c 10 229
mount --bind "$0/fuse" /dev/fuse
`+asNobody)
	if !strings.Contains(out, "unprivileged mount is fine") {
		t.Error(out)
	}
}

// TestWithoutFUSE has parts of FUSE missing, one at a time.
func TestWithoutFUSE(t *testing.T) {
	for what, c := range map[string]struct{ script, want string }{
		"no device":           {`mount -t tmpfs none /dev; exec "$0/fs.test" "$0"`, "FUSE is missing"},
		"another device":      {`mount --bind /dev/null /dev/fuse; exec "$0/fs.test" "$0"`, "FUSE is missing"},
		"no helper":           {`mount --bind /dev/null "$(readlink -f "$(command -v fusermount3)")"; ` + asNobody, "FUSE is missing"},
		"no device, no right": {`mknod -m 600 "$0/fuse" c 10 229; mount --bind "$0/fuse" /dev/fuse; ` + asNobody, "not permitted"},
	} {
		out := elsewhere(t, "attempt", c.script)
		t.Log(what, out)
		if strings.TrimSpace(strings.SplitN(out, "\n", 2)[0]) != c.want {
			t.Errorf("%s: %s, want %s", what, out, c.want)
		}
	}
}

// childAttempt mounts, and prints what came of it.
func childAttempt(args []string) error {
	work := filepath.Join(args[0], "work")
	dir := filepath.Join(work, "mount")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p, err := writePair(work, tiny, false)
	if err != nil {
		return err
	}
	closer, err := p.open("style")
	if err != nil {
		return err
	}
	s, err := Mount(dir, Tree{Single: p.model}, Options{})
	var missing *FUSEMissingError
	var forbidden *PermissionError
	switch {
	case errors.As(err, &missing):
		fmt.Printf("FUSE is missing\n%v\n", err)
		return closer()
	case errors.As(err, &forbidden):
		fmt.Printf("not permitted\n%v\n", err)
		return closer()
	case err != nil:
		return err
	}
	fmt.Println("mounted")
	return errors.Join(s.Close(context.Background()), closer())
}

func childUnprivileged(args []string) error {
	work := filepath.Join(args[0], "work")
	dir := filepath.Join(work, "mount")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p, err := writePair(work, tiny, false)
	if err != nil {
		return err
	}
	closer, err := p.open("style")
	if err != nil {
		return err
	}
	_, err = Mount(dir, Tree{Single: p.model}, Options{AllowOther: true})
	var forbidden *PermissionError
	if !errors.As(err, &forbidden) || forbidden.Op != "allow_other" || !strings.Contains(err.Error(), "user_allow_other") {
		return fmt.Errorf("allow_other without user_allow_other: %v", err)
	}
	_, err = Mount("/usr/lib", Tree{Single: p.model}, Options{})
	var unfit *MountpointError
	if !errors.As(err, &unfit) {
		return fmt.Errorf("mount on /usr/lib: %v", err)
	}
	s, err := Mount(dir, Tree{Single: p.model}, Options{})
	if err != nil {
		return err
	}
	for _, name := range []string{mergedShard, baseShard, "config.json", ".lorafs/report.txt"} {
		f, err := p.model.OpenFile(name)
		if err != nil {
			return err
		}
		want := make([]byte, f.Size())
		if _, err := f.ReadAt(context.Background(), want, 0); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if len(s.Notes()) != 2 {
		return fmt.Errorf("notes: %q", s.Notes())
	}
	for _, n := range s.Notes() {
		fmt.Println(n)
	}
	held, err := os.Open(filepath.Join(dir, mergedShard))
	if err != nil {
		return err
	}
	short, cancel := context.WithTimeout(context.Background(), closeTime/20)
	defer cancel()
	var busy *BusyError
	if err := s.Close(short); !errors.As(err, &busy) || len(busy.Holders) != 1 || busy.Holders[0].PID != os.Getpid() {
		return fmt.Errorf("close with an open file: %v", err)
	}
	if err := held.Close(); err != nil {
		return err
	}
	if err := errors.Join(Unmount(dir, false), closer()); err != nil {
		return err
	}
	s.Wait()
	fmt.Println("unprivileged mount is fine")
	return nil
}
