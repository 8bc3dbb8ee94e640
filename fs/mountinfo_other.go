//go:build !linux

package fs

import (
	"os/exec"
	"strings"
)

// mountedType reads the output of mount(8): "lorafs on /mnt (macfuse, …)".
func mountedType(path string) (kind string, err error) {
	out, err := exec.Command("mount").Output()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		source, rest, ok := strings.Cut(line, " on "+path+" (")
		if !ok {
			continue
		}
		if source == fsName {
			return fsType, nil
		}
		kind, _, _ = strings.Cut(rest, ",")
	}
	return kind, nil
}
