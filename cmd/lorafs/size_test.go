package main

import (
	"testing"
	"testing/fstest"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1073741824": 1 << 30, "1GiB": 1 << 30, "1g": 1 << 30, "1.5G": 3 << 29, "500MB": 500e6,
		"64 MiB": 64 << 20, "2k": 2048, "7B": 7, "1TiB": 1 << 40,
	} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "GiB", "-1", "1e400", "1XiB", "9999999TiB", "1.2.3", "1 2", "NaN", "0x10"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", in, got)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 40: "40 B", 269060552: "257 MiB", 1 << 30: "1.00 GiB", 10 << 30: "10.0 GiB",
		1023 << 10: "1.00 MiB", 5 << 40: "5.00 TiB",
	} {
		if got := formatSize(n); got != want {
			t.Errorf("formatSize(%d) = %q, want %q", n, got, want)
		}
	}
}

func mapFS(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestDefaultCache(t *testing.T) {
	const gib = 1 << 30
	meminfo := "MemTotal: 33554432 kB\nMemAvailable:    8388608 kB\n" // 8 GiB
	for name, tc := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing known": {nil, unknownCacheBytes},
		"an eighth":     {map[string]string{"proc/meminfo": meminfo}, gib},
		"at most":       {map[string]string{"proc/meminfo": "MemAvailable: 838860800 kB\n"}, maxCacheBytes},
		"at least":      {map[string]string{"proc/meminfo": "MemAvailable: 1000 kB\n"}, minCacheBytes},
		"v2 parent limits": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "4294967296\n",
			"sys/fs/cgroup/a/memory.current": "3221225472\n", "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 1073741824\n",
		}, gib / 4},
		"v2 without limit": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n",
		}, gib},
		"v1": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:cpu,cpuacct:/x\n3:memory:/x\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "2147483648\n", "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "0\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, gib / 4},
	} {
		if got := defaultCacheBytes(mapFS(tc.files)); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
