package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const demoData = "../cmd/lorafs/demodata"

// A daemon that is killed while it looks at its own new mount must be gone: a thread
// that waits for an answer from the mount would keep the process, and so the mount.
// Looking with the connection to the kernel open, one kill in seven hangs.
func TestKilledWhileMounting(t *testing.T) {
	needFUSE(t)
	for i := range 40 {
		dir := t.TempDir()
		cmd := exec.Command(program(t), "mount", "-f", demoData+"/base", demoData+"/adapters", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitMount(t, dir)
		time.Sleep(time.Duration(i%20) * 300 * time.Microsecond) // where the kill falls, not a wait for anything
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		gone := make(chan error, 1)
		go func() { gone <- cmd.Wait() }()
		select {
		case <-gone:
		case <-time.After(patience):
			t.Fatalf("kill %d: the process is still there after %v", i, patience)
		}
		if out, err := exec.Command("fusermount3", "-u", "-z", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// awaitMount looks at the table of mounts only: the mount itself may not answer.
func awaitMount(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		table, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(table), " "+dir+" ") {
			return
		}
	}
	t.Fatalf("nothing is mounted at %s after %v", dir, patience)
}
