package diagnose

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Severity says what a finding means for the use of its subject.
type Severity uint8

const (
	// Broken keeps the subject from being used.
	Broken Severity = iota
	// Warning lets it be used, perhaps not as intended.
	Warning
)

func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "broken"
}

// MarshalText writes the severity as in JSON output.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one fact about an input, why it is so and what to do.
type Finding struct {
	Code     string   `json:"code"` // stable; listed in docs/findings.md
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Tensor   string   `json:"tensor"`
	Message  string   `json:"message"` // what was found
	Cause    string   `json:"cause"`
	Fix      string   `json:"fix"` // lines that begin with a tab are commands
}

// Verdict sums findings up: "ok", "warn" or "broken".
type Verdict string

const (
	VerdictOK     Verdict = "ok"
	VerdictWarn   Verdict = "warn"
	VerdictBroken Verdict = "broken"
)

// Judge gives the verdict of findings.
func Judge(findings []Finding) Verdict {
	v := VerdictOK
	for _, f := range findings {
		if f.Severity == Broken {
			return VerdictBroken
		}
		v = VerdictWarn
	}
	return v
}

// Result is what was found about one path.
type Result struct {
	Path     string    `json:"path"`
	Kind     string    `json:"kind"` // "adapter", "base"…
	Verdict  Verdict   `json:"verdict"`
	Findings []Finding `json:"findings"`
}

// WriteJSON writes results as {"results":[…]}.
func WriteJSON(w io.Writer, results []Result) error {
	for i, r := range results {
		if r.Findings == nil {
			results[i].Findings = []Finding{}
		}
	}
	if results == nil {
		results = []Result{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(map[string][]Result{"results": results})
}

// width is where prose is broken. Commands and names are never broken.
const width = 88

// WriteText writes findings for people: the subject and its verdict, then each
// finding with what, cause and cure. A failing w is not reported.
func WriteText(w io.Writer, subject string, findings []Finding) {
	NewText(w).Write(subject, findings)
}

// Text writes the findings of many subjects, and a cause with its cure once.
type Text struct {
	w    io.Writer
	told map[advice]string // by which subject
}

// advice is what findings of many subjects may have in common.
type advice struct{ code, cause, fix string }

// NewText makes a Text that writes to w.
func NewText(w io.Writer) *Text { return &Text{w: w, told: make(map[advice]string)} }

// Write is WriteText for one of the subjects.
func (t *Text) Write(subject string, findings []Finding) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", printable(subject), Judge(findings))
	for _, f := range findings {
		a := advice{f.Code, f.Cause, f.Fix}
		if first, ok := t.told[a]; ok && f.Cause != "" {
			f.Cause, f.Fix = "the same as of "+first+", and the same cure", ""
		} else {
			t.told[a] = subject
		}
		f.write(&b)
	}
	_, _ = io.WriteString(t.w, b.String())
}

func (f Finding) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n[%s] %s\n", f.Severity, f.Code)
	for _, part := range []struct{ label, text string }{
		{"file", f.File}, {"tensor", f.Tensor}, {"what", f.Message}, {"cause", f.Cause}, {"cure", f.Fix},
	} {
		if part.text != "" {
			writePart(b, part.label, part.text)
		}
	}
}

const indent = "  "

// writePart writes a label and its text in a column of its own.
func writePart(b *strings.Builder, label, text string) {
	const column = 8
	for i, line := range strings.Split(text, "\n") {
		command, isCommand := strings.CutPrefix(line, "\t")
		if i > 0 || isCommand && i == 0 {
			label = ""
		}
		lead := indent + label + strings.Repeat(" ", column-len(label))
		if isCommand {
			fmt.Fprintf(b, "%s%s%s\n", lead, indent, printable(command))
			continue
		}
		for _, row := range wrap(printable(line), width-column-len(indent)) {
			fmt.Fprintf(b, "%s%s\n", lead, row)
			lead = strings.Repeat(" ", column+len(indent))
		}
	}
}

// wrap breaks a line between words.
func wrap(line string, limit int) []string {
	var rows []string
	row := ""
	for word := range strings.FieldsSeq(line) {
		switch {
		case row == "":
			row = word
		case utf8.RuneCountInString(row)+1+utf8.RuneCountInString(word) > limit:
			rows = append(rows, row)
			row = word
		default:
			row += " " + word
		}
	}
	return append(rows, row)
}

// printable keeps names from files from driving a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError {
			return '\uFFFD'
		}
		return r
	}, s)
}
