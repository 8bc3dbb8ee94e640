package fs

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// raiseReadAhead widens the kernel's read-ahead window of the mount at path, for
// files opened afterwards. The mount option of that name can only lower it.
func raiseReadAhead(path string, kib int) error {
	var st unix.Stat_t
	if err := apart(func() error { return unix.Stat(path, &st) }); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	name := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if have, err := strconv.Atoi(strings.TrimSpace(string(b))); err != nil || have >= kib {
		return err
	}
	return os.WriteFile(name, []byte(strconv.Itoa(kib)), 0)
}
