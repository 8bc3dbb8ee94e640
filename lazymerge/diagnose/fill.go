package diagnose

import (
	"path/filepath"
	"regexp"
	"strings"
)

// values are what stands for the names in braces of a code's texts.
type values map[string]string

// names are the names that a code's texts may use, and what stands for one whose
// value is not known.
var names = map[string]string{
	"dir":       "DIR",
	"file":      "FILE",
	"first":     "ADAPTER",
	"link":      "LINK",
	"path":      "PATH",
	"ref":       "ORG/NAME",
	"revision":  "REVISION",
	"revisions": "none",
	"second":    "ADAPTER",
	"target":    "TARGET",
	"torch":     "FILE.pt",
	"whole":     "rename the file to model.safetensors (a torch file to pytorch_model.bin) where it has another name",
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// fill puts values into a text. In the lines that are commands they are quoted for
// the shell.
func fill(text string, v values) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		command := strings.HasPrefix(line, "\t")
		lines[i] = placeholder.ReplaceAllStringFunc(line, func(p string) string {
			name := p[1 : len(p)-1]
			fallback, ok := names[name]
			value := v[name]
			switch {
			case !ok:
				return p
			case value == "":
				return fallback
			case command:
				return Quote(value)
			}
			return value
		})
	}
	return strings.Join(lines, "\n")
}

var plainWord = regexp.MustCompile(`^[\w@%+=:,./][\w@%+=:,./-]*$`)

// Quote quotes a path for a POSIX shell where it needs that.
func Quote(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// fileValues are the values of a finding about one file.
func fileValues(file string) values {
	if file == "" {
		return nil
	}
	return values{"file": file, "dir": filepath.Dir(file), "path": file, "torch": torchName(file)}
}

// finding makes a finding of a code.
func finding(name, file, tensor, message string, v values) Finding {
	c := find(name)
	if v == nil {
		v = fileValues(file)
	}
	return Finding{
		Code: c.name, Severity: c.severity, File: file, Tensor: tensor, Message: message,
		Cause: fill(c.cause, v), Fix: fill(c.fix, v),
	}
}
