package training

import (
	"regexp"
	"strconv"
	"strings"
)

// version is a version by PEP 440. A local part ("+cu121") is left out: it only orders
// builds of one version.
type version struct {
	epoch   int
	release []int
	pre     int // phase of a pre-release: -3 dev only, -2 a, -1 b, 0 rc, 1 none
	preNum  int
	post    int // -1 none
	dev     int // noDev none
}

const noDev = 1 << 30

var versionForm = regexp.MustCompile(`(?i)^v?(?:(\d{1,6})!)?(\d{1,9}(?:\.\d{1,9}){0,9})` +
	`(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d{0,9}))?` +
	`(?:-(\d{1,9})|[-_.]?(?:post|rev|r)[-_.]?(\d{0,9}))?` +
	`(?:[-_.]?(dev)[-_.]?(\d{0,9}))?(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?$`)

var hasPost = regexp.MustCompile(`(?i)(post|rev|r)[-_.]?\d*(?:[-_.]?dev|\+|$)`)

// parseVersion reads a version. ok is false for what PEP 440 does not allow.
func parseVersion(s string) (v version, ok bool) {
	s = strings.TrimSpace(s)
	m := versionForm.FindStringSubmatch(s)
	if m == nil {
		return v, false
	}
	v = version{epoch: number(m[1]), pre: 1, post: -1, dev: noDev}
	for part := range strings.SplitSeq(m[2], ".") {
		v.release = append(v.release, number(part))
	}
	if m[3] != "" {
		v.pre, v.preNum = phase(m[3]), number(m[4])
	}
	switch {
	case m[5] != "":
		v.post = number(m[5])
	case m[6] != "":
		v.post = number(m[6])
	case m[3] == "" && hasPost.MatchString(s):
		v.post = 0
	}
	if m[7] != "" {
		v.dev = number(m[8])
		if m[3] == "" && v.post < 0 {
			v.pre = -3
		}
	}
	return v, true
}

func number(s string) int {
	n, _ := strconv.Atoi(s) // "" is 0
	return n
}

func phase(s string) int {
	switch strings.ToLower(s)[0] {
	case 'a':
		return -2
	case 'b':
		return -1
	}
	return 0 // rc, c, pre, preview
}

// part gives a part of a release; those that are not written are 0.
func part(release []int, i int) int {
	if i < len(release) {
		return release[i]
	}
	return 0
}

// compare orders versions as PEP 440 does: negative when v is before w.
func (v version) compare(w version) int {
	if v.epoch != w.epoch {
		return v.epoch - w.epoch
	}
	for i := range max(len(v.release), len(w.release)) {
		if a, b := part(v.release, i), part(w.release, i); a != b {
			return a - b
		}
	}
	for _, pair := range [][2]int{{v.pre, w.pre}, {v.preNum, w.preNum}, {v.post, w.post}, {v.dev, w.dev}} {
		if pair[0] != pair[1] {
			return pair[0] - pair[1]
		}
	}
	return 0
}
