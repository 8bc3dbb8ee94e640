package main

import (
	"slices"
	"strings"
	"testing"
)

func testApp() *appUnderTest {
	var out, errs strings.Builder
	io := stdio{out: &out, err: &errs}
	return &appUnderTest{io: io, out: &out, err: &errs}
}

// appUnderTest captures what the program prints.
type appUnderTest struct {
	io       stdio
	out, err *strings.Builder
}

func TestPermute(t *testing.T) {
	app := newApp(testApp().io, cacheDefault)
	for _, tc := range []struct{ in, want string }{
		{"mount B A M", "mount -- B A M"},
		{"mount B A M -f", "mount -f -- B A M"},
		{"mount B --cache-size 1GiB A M", "mount --cache-size 1GiB -- B A M"},
		{"mount B --cache-size=1GiB A M", "mount --cache-size=1GiB -- B A M"},
		{"mount B A M -o ro,cache_size=1G", "mount -o ro,cache_size=1G -- B A M"},
		{"mount B A M -oro", "mount -o=ro -- B A M"},
		{"mount -fo ro B A M", "mount -f -o ro -- B A M"},
		{"mount B A --rounding once M --threads 2 --allow-unused", "mount --rounding once --threads 2 --allow-unused -- B A M"},
		{"mount -f -- B -A M", "mount -f -- B -A M"},
		{"mount B A -- -M", "mount -- B A -M"},
		{"mount B A - -f", "mount -f -- B A -"},
		{"mount B A M --unknown x", "mount --unknown -- B A M x"},
		{"mount B A M --cache-size", "mount --cache-size"},
		{"mount B A M --cache-size -1", "mount --cache-size -1 -- B A M"},
		{"ls -la B A", "ls -l -a -- B A"},
		{"ls B A -lx", "ls -lx -- B A"},
		{"mount B A --help M", "mount --help"},
		{"mount B A --log-file help M", "mount --log-file help -- B A M"},
		{"umount M --lazy", "umount --lazy -- M"},
		{"ls --help", "ls --help"},
		{"--version", "--version"},
		{"nosuch B -f", "nosuch B -f"},
		{"ls B " + completionArg, "ls B " + completionArg},
	} {
		argv := append([]string{"lorafs"}, strings.Fields(tc.in)...)
		got := strings.Join(permute(argv, app)[1:], " ")
		if got != tc.want {
			t.Errorf("permute %q = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestMountHelperArgs(t *testing.T) {
	app := newApp(testApp().io, cacheDefault)
	for _, tc := range []struct{ in, want string }{
		{"lorafs mount B A M -o ro", "lorafs mount B A M -o ro"},
		{"lorafs B M -o rw,adapter=A", "lorafs mount B M -o rw,adapter=A"},
		{"lorafs B M -orw,adapter=A", "lorafs mount B M -orw,adapter=A"},
		{"lorafs B M A", "lorafs B M A"},
		{"/sbin/mount.lorafs B M -s -o rw", "/sbin/mount.lorafs mount B M -o rw"},
		{"/sbin/mount.fuse.lorafs B M -n -t fuse.lorafs -o rw", "/sbin/mount.fuse.lorafs mount B M -o rw"},
	} {
		got := mountHelperArgs(strings.Fields(tc.in), app)
		if strings.Join(got, " ") != tc.want {
			t.Errorf("mountHelperArgs %q = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func FuzzPermute(f *testing.F) {
	f.Add("mount B A M -f")
	f.Add("ls -la -- B -x")
	f.Add("mount -o ro B")
	f.Fuzz(func(t *testing.T, line string) {
		app := newApp(testApp().io, cacheDefault)
		argv := append([]string{"lorafs"}, strings.Fields(line)...)
		got := permute(argv, app)
		again := permute(got, app)
		if !slices.Equal(got, again) {
			t.Fatalf("permute %q: %q, and that again: %q", argv, got, again)
		}
	})
}
