package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"lorafs/lazymerge/kernel"
)

// machine is what the checks look at. Its files come from a file system, so that
// the tests can show them any machine.
type machine struct {
	root       fs.FS
	uid        int
	lookPath   func(string) (string, error)
	openDevice func(string) error
	populate   func() error // MADV_POPULATE_READ on a page of memory
	openFiles  func() (uint64, error)
}

func thisMachine() machine {
	return machine{
		root:     os.DirFS("/"),
		uid:      os.Geteuid(),
		lookPath: exec.LookPath,
		openDevice: func(name string) error {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			return errors.Join(isFUSE(f), f.Close())
		},
		populate: populate,
		openFiles: func() (uint64, error) {
			var r syscall.Rlimit
			err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r)
			return uint64(r.Max), err
		},
	}
}

// errNotFUSE is a device of another kind in the place of /dev/fuse: some sandboxes
// hide it behind /dev/null.
var errNotFUSE = errors.New("not the device of FUSE")

func isFUSE(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || st.Mode()&os.ModeCharDevice == 0 || unix.Major(uint64(sys.Rdev)) != 10 || unix.Minor(uint64(sys.Rdev)) != 229 {
		return errNotFUSE
	}
	return nil
}

type checkState string

const (
	fit     checkState = "ok"
	limited checkState = "limited" // works, at a price
	missing checkState = "missing" // nothing can be mounted
)

// machineCheck is one line of doctor.
type machineCheck struct {
	Name  string     `json:"name"`
	State checkState `json:"state"`
	Value string     `json:"value"`
	Cost  string     `json:"cost,omitempty"` // what is lost
	Cure  string     `json:"cure,omitempty"`
}

// machineChecks are run in this order.
var machineChecks = []func(machine) machineCheck{
	checkDevice, checkPrivileges, checkFusermount, checkKernel, checkPopulate, checkPassthrough,
	checkReadAhead, checkAllowOther, checkCPU, checkMemory, checkOpenFiles,
}

func examineMachine(m machine) []machineCheck {
	var out []machineCheck
	for _, run := range machineChecks {
		out = append(out, run(m))
	}
	return out
}

func mountable(checks []machineCheck) bool {
	for _, c := range checks {
		if c.State == missing {
			return false
		}
	}
	return true
}

func checkDevice(m machine) machineCheck {
	c := machineCheck{Name: "/dev/fuse", State: fit, Value: "usable"}
	if runtime.GOOS == "darwin" {
		c.Value = "macFUSE"
		if _, err := fs.Stat(m.root, "Library/Filesystems/macfuse.fs"); err != nil {
			return machineCheck{Name: c.Name, State: missing, Value: "macFUSE is not installed", Cost: "nothing can be mounted", Cure: "install it: brew install --cask macfuse"}
		}
		return c
	}
	absent := machineCheck{Name: c.Name, State: missing, Value: "not there", Cost: "nothing can be mounted; export works",
		Cure: "modprobe fuse; in a container: docker run --device /dev/fuse --cap-add SYS_ADMIN"}
	if _, err := fs.Stat(m.root, "dev/fuse"); err != nil {
		return absent
	}
	switch err := m.openDevice("/dev/fuse"); {
	case err == nil:
		return c
	case errors.Is(err, errNotFUSE):
		absent.Value = "another device stands in its place"
		return absent
	}
	return machineCheck{Name: c.Name, State: missing, Value: "may not be opened", Cost: "nothing can be mounted; export works",
		Cure: "as root: chmod 0666 /dev/fuse; in a container: docker run --device /dev/fuse"}
}

// Bits of the capability sets in /proc/self/status.
const capSysAdmin = 1 << 21

func (m machine) status(field string) (string, bool) {
	b, err := fs.ReadFile(m.root, "proc/self/status")
	if err != nil {
		return "", false
	}
	for _, line := range strings.Split(string(b), "\n") {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

func (m machine) hasCapability(set string, bit uint64) bool {
	text, ok := m.status(set)
	caps, err := strconv.ParseUint(text, 16, 64)
	if !ok || err != nil {
		return m.uid == 0
	}
	return caps&bit != 0
}

// mayMount says whether the process itself may call mount(2).
func (m machine) mayMount() bool { return m.hasCapability("CapEff", capSysAdmin) }

func checkPrivileges(m machine) machineCheck {
	c := machineCheck{Name: "privileges", State: fit, Value: "CAP_SYS_ADMIN"}
	if runtime.GOOS == "darwin" || m.mayMount() {
		if runtime.GOOS == "darwin" {
			c.Value = "user " + strconv.Itoa(m.uid)
		}
		return c
	}
	c.Value = fmt.Sprintf("user %d, mounts through fusermount3", m.uid)
	noNew, _ := m.status("NoNewPrivs")
	if noNew == "1" || !m.hasCapability("CapBnd", capSysAdmin) {
		return machineCheck{Name: c.Name, State: missing, Value: c.Value + ", which may not get CAP_SYS_ADMIN here", Cost: "nothing can be mounted; export works",
			Cure: "in a container: --cap-add SYS_ADMIN, and allowPrivilegeEscalation in Kubernetes"}
	}
	return c
}

func checkFusermount(m machine) machineCheck {
	c := machineCheck{Name: "fusermount3", State: fit}
	if runtime.GOOS == "darwin" {
		c.Value = "not needed"
		return c
	}
	for _, name := range []string{"fusermount3", "fusermount"} {
		if path, err := m.lookPath(name); err == nil {
			c.Value = path
			return c
		}
	}
	c.Value = "not there"
	if m.mayMount() {
		c.Value += "; not needed with CAP_SYS_ADMIN"
		return c
	}
	return machineCheck{Name: c.Name, State: missing, Value: c.Value, Cost: "users without CAP_SYS_ADMIN cannot mount",
		Cure: "apt install fuse3, dnf install fuse3, apk add fuse3"}
}

func (m machine) kernelVersion() (text string, major, minor int) {
	b, err := fs.ReadFile(m.root, "proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown", 0, 0
	}
	text = strings.TrimSpace(string(b))
	_, _ = fmt.Sscanf(text, "%d.%d", &major, &minor)
	return text, major, minor
}

func (m machine) kernelAtLeast(major, minor int) bool {
	_, a, b := m.kernelVersion()
	return a > major || a == major && b >= minor
}

func checkKernel(m machine) machineCheck {
	text, _, _ := m.kernelVersion()
	c := machineCheck{Name: "kernel", State: fit, Value: text}
	if runtime.GOOS == "linux" && !m.kernelAtLeast(4, 20) {
		c.State, c.Cost, c.Cure = limited, "requests of 128 KiB at most instead of 1 MiB", "Linux 4.20 or newer"
	}
	return c
}

func checkPopulate(m machine) machineCheck {
	if m.populate() == nil {
		return machineCheck{Name: "MADV_POPULATE_READ", State: fit, Value: "yes"}
	}
	return machineCheck{Name: "MADV_POPULATE_READ", State: limited, Value: "no",
		Cost: "inputs on slow disks hold up other readers, and an input on a stalled network file system can hang the mount",
		Cure: "Linux 5.14 or newer"}
}

func checkPassthrough(m machine) machineCheck {
	c := machineCheck{Name: "passthrough", State: fit, Value: "yes: files that no adapter changes are read at the speed of the disk"}
	switch {
	case !m.kernelAtLeast(6, 9):
		c.Cure = "Linux 6.9 or newer"
	case !m.mayMount():
		c.Cure = "run as root (CAP_SYS_ADMIN)"
	default:
		return c
	}
	c.State, c.Value, c.Cost = limited, "no", "files that no adapter changes are copied once more on first read"
	return c
}

func checkReadAhead(m machine) machineCheck {
	c := machineCheck{Name: "read_ahead_kb", State: fit, Value: "writable"}
	if runtime.GOOS == "linux" && m.mayMount() && !m.sysReadOnly() {
		return c
	}
	return machineCheck{Name: c.Name, State: limited, Value: "not writable",
		Cost: "the kernel asks for 128 KiB at a time instead of up to 1 MiB: first reads are up to a third slower",
		Cure: "run as root, or as root after mounting: echo 4096 > /sys/class/bdi/$(mountpoint -d DIR)/read_ahead_kb"}
}

// sysReadOnly looks for a read-only sysfs, as unprivileged containers have it.
func (m machine) sysReadOnly() bool {
	b, err := fs.ReadFile(m.root, "proc/self/mounts")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) > 3 && f[1] == "/sys" {
			return strings.HasPrefix(f[3]+",", "ro,")
		}
	}
	return false
}

func checkAllowOther(m machine) machineCheck {
	c := machineCheck{Name: "--allow-other", State: fit, Value: "allowed"}
	if m.uid == 0 || runtime.GOOS != "linux" {
		return c
	}
	b, _ := fs.ReadFile(m.root, "etc/fuse.conf")
	for _, line := range strings.Split(string(b), "\n") {
		if strings.TrimSpace(line) == "user_allow_other" {
			return c
		}
	}
	return machineCheck{Name: c.Name, State: limited, Value: "not allowed", Cost: "only you can read your mounts; not even root can",
		Cure: "as root: echo user_allow_other >> /etc/fuse.conf"}
}

func checkCPU(machine) machineCheck {
	return machineCheck{Name: "CPU", State: fit, Value: fmt.Sprintf("%d × %s, kernel %s", runtime.NumCPU(), runtime.GOARCH, kernel.Default.Name)}
}

func checkMemory(m machine) machineCheck {
	c := machineCheck{Name: "memory", State: fit}
	free, ok := freeMemory(m.root)
	if !ok {
		c.Value = "unknown"
	} else {
		c.Value = formatSize(free) + " free"
	}
	if limit, _ := cgroupMemory(m.root); limit > 0 {
		c.Value += ", control group limit " + formatSize(limit)
	}
	cache := defaultCacheBytes(m.root)
	c.Value += ", cache " + formatSize(cache)
	if ok && free < 4*minCacheBytes {
		c.State, c.Cost, c.Cure = limited, "finished rows are computed again when they are read again", "more memory, or a higher memory limit"
	}
	return c
}

func checkOpenFiles(m machine) machineCheck {
	n, err := m.openFiles()
	c := machineCheck{Name: "open files", State: fit, Value: fmt.Sprint(n)}
	if err != nil {
		c.Value = "unknown"
		return c
	}
	if n > 1<<40 {
		c.Value = "no limit"
	}
	if n < 4096 {
		c.State, c.Cost, c.Cure = limited, "a large library, or many readers, run out of descriptors", "ulimit -Hn 65536, or LimitNOFILE= in systemd"
	}
	return c
}
