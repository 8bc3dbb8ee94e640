package training

import (
	"regexp"
	"strings"
)

// fact is what a file says about the version of a package.
type fact struct {
	file  string
	text  string // as written: "transformers==4.57.6"
	exact bool
	specs []spec
}

// spec is one clause of a requirement.
type spec struct {
	op string
	v  version
}

// packages are the facts by normalised name.
type packages map[string][]fact

// watched are the packages whose versions matter here.
var watched = map[string]bool{"transformers": true, "safetensors": true}

var (
	requirement = regexp.MustCompile(`(?i)^\s*(?:-\s*)?["']?(transformers|safetensors)(?:\[[^\]]*\])?\s*\(?((?:\s*,?\s*(?:===|==|~=|!=|<=|>=|<|>|=)\s*[0-9a-z!+.*_-]+)+)`)
	clause      = regexp.MustCompile(`(===|==|~=|!=|<=|>=|<|>|=)\s*([0-9A-Za-z!+.*_-]+)`)
	cardLine    = regexp.MustCompile(`(?i)^\s*[-*]\s*(transformers|safetensors)[ :]+v?([0-9][0-9A-Za-z.+!_-]*)\s*$`)
	lockName    = regexp.MustCompile(`^name\s*=\s*"([^"]+)"`)
	lockVersion = regexp.MustCompile(`^version\s*=\s*"([^"]+)"`)
)

// readPackages adds what a list of packages says: requirements, pip freeze and pip list,
// conda's environment.yml, pyproject.toml, the lock files of poetry and uv, and the list
// of versions in the model card that Trainer writes.
func (p packages) readPackages(file string, data []byte) {
	name := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if m := lockName.FindStringSubmatch(line); m != nil {
			name = m[1]
			continue
		}
		if m := lockVersion.FindStringSubmatch(line); m != nil && name != "" {
			p.addExact(file, name, m[1])
			name = ""
			continue
		}
		p.readLine(file, line)
	}
}

var poetryLine = regexp.MustCompile(`(?i)^(transformers|safetensors)\s*=\s*(?:\{.*\bversion\s*=\s*)?"([\^~]?)([0-9][0-9A-Za-z.+!_-]*)"`)

// addPoetry adds a line of poetry's: a bare version is that one, ^ allows all with its
// first part that is not 0, and ~ those that differ in the last of three parts.
func (p packages) addPoetry(file, name, op, text string) {
	v, ok := parseVersion(text)
	if op == "" || !ok {
		p.addExact(file, name, text)
		return
	}
	name = strings.ToLower(name)
	keep := 3
	if op == "^" && v.release[0] > 0 {
		keep = 2
	}
	for len(v.release) < keep {
		v.release = append(v.release, 0)
	}
	v.release = v.release[:keep]
	p[name] = append(p[name], fact{file: file, text: name + " " + op + text, specs: []spec{{"~=", v}}})
}

var listLine = regexp.MustCompile(`(?i)^(transformers|safetensors)\s+([0-9][0-9A-Za-z.+!_-]*)\s*$`)

func (p packages) readLine(file, line string) {
	for _, form := range []*regexp.Regexp{cardLine, listLine} {
		if m := form.FindStringSubmatch(line); m != nil {
			p.addExact(file, m[1], m[2])
			return
		}
	}
	if m := poetryLine.FindStringSubmatch(line); m != nil {
		p.addPoetry(file, m[1], m[2], m[3])
		return
	}
	line, _, _ = strings.Cut(line, "#")
	for _, part := range quoted(line) {
		m := requirement.FindStringSubmatch(part)
		if m == nil {
			continue
		}
		p.addRange(file, m[1], m[2])
	}
}

var quotes = regexp.MustCompile(`"[^"]*"|'[^']*'`)

// quoted gives the line, or the texts in its quotes where a list of them stands in it.
func quoted(line string) []string {
	if found := quotes.FindAllString(line, -1); len(found) > 0 && !strings.HasPrefix(strings.TrimSpace(line), "transformers") &&
		!strings.HasPrefix(strings.TrimSpace(line), "safetensors") {
		for i, q := range found {
			found[i] = q[1 : len(q)-1]
		}
		return found
	}
	return []string{line}
}

func (p packages) addExact(file, name, text string) {
	name = strings.ToLower(name)
	v, ok := parseVersion(text)
	if !ok || !watched[name] {
		return
	}
	p[name] = append(p[name], fact{file: file, text: name + " " + text, exact: true, specs: []spec{{"==", v}}})
}

func (p packages) addRange(file, name, clauses string) {
	name = strings.ToLower(name)
	f := fact{file: file, text: name + strings.TrimSpace(clauses)}
	for _, m := range clause.FindAllStringSubmatch(clauses, -1) {
		op, text := m[1], m[2]
		wild := strings.HasSuffix(text, ".*")
		v, ok := parseVersion(strings.TrimSuffix(text, ".*"))
		switch {
		case op == "!=" || !ok && op == "=": // conda puts the build behind a second sign
			continue
		case !ok:
			return
		case op == "=": // conda's, which takes all versions that begin so
			op, wild = "==", true
		case op == "===":
			op = "=="
		}
		if op == "==" && wild {
			op = "~="
			v.release = append(v.release, 0)
		}
		f.exact = f.exact || op == "=="
		f.specs = append(f.specs, spec{op, v})
	}
	if len(f.specs) > 0 {
		p[name] = append(p[name], f)
	}
}

// relation is what is known of a package against a limit.
type relation uint8

const (
	unknown relation = iota
	below
	atLeast
)

// against compares a package with a limit. Exact versions count more than ranges; facts
// that contradict each other make it unknown.
func (p packages) against(name, limit string) (relation, fact) {
	l, ok := parseVersion(limit)
	if !ok {
		return unknown, fact{}
	}
	for _, exact := range []bool{true, false} {
		result, from := unknown, fact{}
		for _, f := range p[name] {
			if f.exact != exact {
				continue
			}
			switch r := f.against(l); {
			case r == unknown:
			case result == unknown:
				result, from = r, f
			case r != result:
				return unknown, fact{}
			}
		}
		if result != unknown {
			return result, from
		}
	}
	return unknown, fact{}
}

func (f fact) against(limit version) relation {
	for _, s := range f.specs {
		c := s.v.compare(limit)
		switch {
		case s.op == "==" && c < 0, s.op == "<" && c <= 0, s.op == "<=" && c < 0:
			return below
		case (s.op == "==" || s.op == ">=" || s.op == ">" || s.op == "~=") && c >= 0:
			return atLeast
		case s.op == "~=" && s.compatibleEnd().compare(limit) <= 0:
			return below
		}
	}
	return unknown
}

// compatibleEnd is the first version that "~= v" leaves out.
func (s spec) compatibleEnd() version {
	n := len(s.v.release) - 1
	if n < 1 {
		n = 1
	}
	end := version{epoch: s.v.epoch, pre: 1, post: -1, dev: noDev}
	end.release = append(end.release, s.v.release[:n]...)
	end.release[n-1]++
	return end
}
