package fs

import (
	"bufio"
	"os"
	"strings"
)

// mountedType is the type of the file system whose root is at path, "" when none is.
// Of several stacked there it is the topmost.
func mountedType(path string) (kind string, err error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); ; {
		if !lines.Scan() {
			return kind, lines.Err()
		}
		if at, k, ok := parseMount(lines.Text()); ok && at == path {
			kind = k
		}
	}
}

// parseMount reads a line of mountinfo: id, parent, device, root, mountpoint, options,
// optional fields, "-", type, source, options of the file system.
func parseMount(line string) (at, kind string, ok bool) {
	left, right, ok := strings.Cut(line, " - ")
	fields, more := strings.Fields(left), strings.Fields(right)
	if !ok || len(fields) < 5 || len(more) < 1 {
		return "", "", false
	}
	return unescape.Replace(fields[4]), more[0], true
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
