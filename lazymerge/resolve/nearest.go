package resolve

import (
	"slices"
	"strings"
)

// shortlist is how many names are compared letter by letter: that is slow, and
// an adapter for another base asks for every one of its modules.
const shortlist = 24

// nearest lists up to three disk names that look like the name.
func (x *Index) nearest(name string) []string { return Nearest(name, x.base.Names) }

// Nearest lists up to three of the names that look like name, best first.
func Nearest(name string, names []string) []string {
	type scored struct {
		name  string
		score int
	}
	parts := strings.Split(name, ".")
	list := make([]scored, 0, len(names))
	for _, n := range names {
		list = append(list, scored{n, overlap(parts, n)})
	}
	less := func(a, b scored) int {
		if a.score != b.score {
			return b.score - a.score
		}
		return strings.Compare(a.name, b.name)
	}
	slices.SortFunc(list, less)
	list = list[:min(len(list), shortlist)]
	for i := range list {
		list[i].score = -distance(name, list[i].name)
	}
	slices.SortFunc(list, less)
	var out []string
	for _, s := range list[:min(len(list), 3)] {
		if -s.score <= max(len(name), len(s.name))*2/3 {
			out = append(out, s.name)
		}
	}
	return out
}

// overlap counts common components; those at the end, in order, count twice.
func overlap(parts []string, name string) int {
	other := strings.Split(name, ".")
	n, ends := 0, true
	for i := range parts {
		p := parts[len(parts)-1-i]
		if ends = ends && i < len(other) && other[len(other)-1-i] == p; ends {
			n++
		}
		if slices.Contains(other, p) {
			n++
		}
	}
	return n
}

// distance is the edit distance of two names, in bytes.
func distance(a, b string) int {
	if len(a) > 200 || len(b) > 200 {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := left
			if a[i] != b[j] {
				d = 1 + min(left, row[j], row[j+1])
			}
			left, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
