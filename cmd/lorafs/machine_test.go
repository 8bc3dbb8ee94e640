package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func fitMachine() (machine, map[string]string) {
	files := map[string]string{
		"dev/fuse":                  "",
		"proc/sys/kernel/osrelease": "6.18.44-generic\n",
		"proc/self/status":          "Name:\tx\nCapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t0\n",
		"proc/self/mounts":          "sysfs /sys sysfs rw,nosuid 0 0\n",
		"proc/meminfo":              "MemAvailable: 8388608 kB\n",
		"etc/fuse.conf":             "# user_allow_other in a comment\n",
	}
	return machine{
		uid:        0,
		lookPath:   func(name string) (string, error) { return "/usr/bin/" + name, nil },
		openDevice: func(string) error { return nil },
		populate:   func() error { return nil },
		openFiles:  func() (uint64, error) { return 1 << 20, nil },
	}, files
}

func TestMachine(t *testing.T) {
	unprivileged := "CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t0\n"
	for _, tc := range []struct {
		name      string
		change    func(*machine, map[string]string)
		mountable bool
		lacking   string // names of the checks that are not ok, in order
	}{
		{"fit", func(*machine, map[string]string) {}, true, ""},
		{"no device", func(_ *machine, f map[string]string) { delete(f, "dev/fuse") }, false, "/dev/fuse"},
		{"device closed to us", func(m *machine, _ map[string]string) {
			m.openDevice = func(string) error { return errors.New("EACCES") }
		}, false, "/dev/fuse"},
		{"/dev/null in place of the device", func(m *machine, _ map[string]string) {
			m.openDevice = func(string) error { return errNotFUSE }
		}, false, "/dev/fuse"},
		{"root without fusermount3", func(m *machine, _ map[string]string) {
			m.lookPath = func(string) (string, error) { return "", exec.ErrNotFound }
		}, true, ""},
		{"user", func(m *machine, f map[string]string) { m.uid = 1000; f["proc/self/status"] = unprivileged }, true,
			"passthrough read_ahead_kb --allow-other"},
		{"user without fusermount3", func(m *machine, f map[string]string) {
			m.uid = 1000
			f["proc/self/status"] = unprivileged
			f["etc/fuse.conf"] = "user_allow_other\n"
			m.lookPath = func(string) (string, error) { return "", exec.ErrNotFound }
		}, false, "fusermount3 passthrough read_ahead_kb"},
		{"container without the capability", func(_ *machine, f map[string]string) {
			f["proc/self/status"] = "CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"
		}, false, "privileges passthrough read_ahead_kb"},
		{"no new privileges", func(m *machine, f map[string]string) {
			m.uid = 1000
			f["etc/fuse.conf"] = "user_allow_other\n"
			f["proc/self/status"] = strings.Replace(unprivileged, "NoNewPrivs:\t0", "NoNewPrivs:\t1", 1)
		}, false, "privileges passthrough read_ahead_kb"},
		{"old kernel", func(m *machine, f map[string]string) {
			f["proc/sys/kernel/osrelease"] = "4.19.0"
			m.populate = func() error { return errors.New("EINVAL") }
		}, true, "kernel MADV_POPULATE_READ passthrough"},
		{"read-only /sys", func(_ *machine, f map[string]string) { f["proc/self/mounts"] = "sysfs /sys sysfs ro,nosuid 0 0\n" }, true, "read_ahead_kb"},
		{"little memory", func(_ *machine, f map[string]string) { f["proc/meminfo"] = "MemAvailable: 100000 kB\n" }, true, "memory"},
		{"few files", func(m *machine, _ map[string]string) { m.openFiles = func() (uint64, error) { return 1024, nil } }, true, "open files"},
	} {
		m, files := fitMachine()
		tc.change(&m, files)
		m.root = mapFS(files)
		checks := examineMachine(m)
		var lacking []string
		for _, c := range checks {
			if c.State == fit {
				continue
			}
			lacking = append(lacking, c.Name)
			if c.Cost == "" || c.Cure == "" {
				t.Errorf("%s: %s lacks its cost or its cure", tc.name, c.Name)
			}
		}
		if got := strings.Join(lacking, " "); got != tc.lacking || mountable(checks) != tc.mountable {
			t.Errorf("%s: lacking %q, mountable %v; want %q, %v", tc.name, got, mountable(checks), tc.lacking, tc.mountable)
		}
	}
}
