package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

const (
	minCacheBytes     = 64 << 20
	maxCacheBytes     = 2 << 30
	unknownCacheBytes = 512 << 20 // where the system does not say what is free
)

// defaultCacheBytes is an eighth of what this process may still take, within
// bounds: the page cache keeps finished bytes as well, so ours needs to hold no
// more than what small reads come back to.
func defaultCacheBytes(root fs.FS) int64 {
	free, ok := freeMemory(root)
	if !ok {
		return unknownCacheBytes
	}
	return min(max(free/8, minCacheBytes), maxCacheBytes)
}

// freeMemory is the least of what the machine has to give and what the process's
// control groups still allow.
func freeMemory(root fs.FS) (bytes int64, ok bool) {
	free, ok := memInfo(root, "MemAvailable")
	if limit, room := cgroupMemory(root); limit > 0 {
		if !ok || room < free {
			return room, true
		}
	}
	return free, ok
}

// memInfo reads one line of /proc/meminfo, in bytes.
func memInfo(root fs.FS, key string) (int64, bool) {
	b, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, false
	}
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), ":")
		if name != key {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		return kib << 10, err == nil
	}
	return 0, false
}

// cgroupMemory gives the tightest memory limit on the way from the process's
// control group to the root and the room left under it; limit 0 means none.
func cgroupMemory(root fs.FS) (limit, room int64) {
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, 0
	}
	room = math.MaxInt64
	for _, line := range strings.Split(string(b), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0":
			limit, room = tightest(root, "sys/fs/cgroup", parts[2], "memory.max", "memory.current", limit, room)
		case strings.Contains(","+parts[1]+",", ",memory,"):
			limit, room = tightest(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes", "memory.usage_in_bytes", limit, room)
		}
	}
	return limit, room
}

func tightest(root fs.FS, mount, group, limitFile, usageFile string, limit, room int64) (int64, int64) {
	for dir := path.Join(mount, group); ; dir = path.Dir(dir) {
		max, hasMax := readInt(root, path.Join(dir, limitFile))
		used, _ := readInt(root, path.Join(dir, usageFile))
		// v1 writes "no limit" as a number close to 2^63.
		if hasMax && max < math.MaxInt64/2 {
			// File pages count as used, but the kernel gives them up first.
			left := max - used + reclaimable(root, dir)
			if left < room {
				limit, room = max, min(left, max)
			}
		}
		if dir == mount || dir == "." {
			return limit, room
		}
	}
}

func reclaimable(root fs.FS, dir string) int64 {
	b, err := fs.ReadFile(root, path.Join(dir, "memory.stat"))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		if value, ok := strings.CutPrefix(line, "inactive_file "); ok {
			n, _ := strconv.ParseInt(value, 10, 64)
			return n
		}
	}
	return 0
}

func readInt(root fs.FS, name string) (int64, bool) {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}
