package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9,
	"t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

// parseSize reads a number of bytes: 1073741824, 1GiB, 1.5G, 500MB. K, M, G and T
// alone are powers of 1024.
func parseSize(s string) (int64, error) {
	s = strings.TrimSpace(s)
	end := strings.LastIndexAny(s, "0123456789.") + 1
	number, unit := s[:end], strings.ToLower(strings.TrimSpace(s[end:]))
	factor, ok := sizeUnits[unit]
	if !ok {
		return 0, fmt.Errorf("%q is no size: unknown unit %q", s, unit)
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n < 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, fmt.Errorf("%q is no size", s)
	}
	if n*factor >= math.MaxInt64 {
		return 0, fmt.Errorf("size %q is too large", s)
	}
	return int64(n * factor), nil
}

// formatSize is for people: three digits and a binary unit.
func formatSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		v /= 1024
		if v < 999.5 || unit == "TiB" {
			if v < 9.995 {
				return fmt.Sprintf("%.2f %s", v, unit)
			}
			if v < 99.95 {
				return fmt.Sprintf("%.1f %s", v, unit)
			}
			return fmt.Sprintf("%.0f %s", v, unit)
		}
	}
	return ""
}
