package fs

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Holders lists the processes that use the mount at mountpoint, as far as this user
// may see: by working or root directory, open file, or mapping.
func Holders(mountpoint string) []Holder {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []Holder
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		proc := filepath.Join("/proc", d.Name())
		if what := uses(proc, mountpoint); what != "" {
			comm, _ := os.ReadFile(filepath.Join(proc, "comm"))
			found = append(found, Holder{PID: pid, Comm: strings.TrimSpace(string(comm)), What: what})
		}
	}
	slices.SortFunc(found, func(a, b Holder) int { return a.PID - b.PID })
	return found
}

// uses says how the process at proc uses the mount, "" when it does not.
func uses(proc, mountpoint string) string {
	for _, link := range []struct{ name, what string }{{"cwd", "working directory"}, {"root", "root directory"}, {"exe", "program"}} {
		if p, err := os.Readlink(filepath.Join(proc, link.name)); err == nil && within(p, mountpoint) {
			return link.what
		}
	}
	fds, _ := os.ReadDir(filepath.Join(proc, "fd"))
	for _, fd := range fds {
		if p, err := os.Readlink(filepath.Join(proc, "fd", fd.Name())); err == nil && within(p, mountpoint) {
			return "open file " + relative(p, mountpoint)
		}
	}
	return mapping(proc, mountpoint)
}

// mapping looks for a mapping, which keeps a file in use after it was closed.
func mapping(proc, mountpoint string) string {
	f, err := os.Open(filepath.Join(proc, "maps"))
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if i := strings.IndexByte(lines.Text(), '/'); i >= 0 && within(lines.Text()[i:], mountpoint) {
			return "mapped file " + relative(lines.Text()[i:], mountpoint)
		}
	}
	return ""
}

func within(p, mountpoint string) bool { return p == mountpoint || below(p, mountpoint) }

func relative(p, mountpoint string) string {
	if rest := strings.TrimPrefix(strings.TrimPrefix(p, mountpoint), "/"); rest != "" {
		return rest
	}
	return "."
}
