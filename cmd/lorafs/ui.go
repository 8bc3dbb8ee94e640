package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"lorafs/lazymerge/check"
	"lorafs/lazymerge/diagnose"
)

// Rules of the terminal: results go to stdout and nothing else does; messages,
// findings and progress go to stderr; colour and progress only where a person
// looks on, and no colour when NO_COLOR is set. Messages begin with the program's
// name, so that they can be told apart in a log.

// stdio is where a command writes.
type stdio struct {
	out, err io.Writer
	colour   bool // out is a terminal that shows colours
	progress bool // err is a terminal
}

// results is stdout, and remembers that it could not be written to: a result that
// did not arrive is a failure.
type results struct {
	io.Writer
	err error
}

func (r *results) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	if r.err == nil {
		r.err = err
	}
	return n, err
}

func systemIO() stdio {
	return stdio{
		out: &results{Writer: os.Stdout}, err: os.Stderr,
		colour:   term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		progress: term.IsTerminal(int(os.Stderr.Fd())),
	}
}

type style string

const (
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

// paint colours text for stdout.
func (s stdio) paint(st style, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

// note writes one message to stderr.
func (s stdio) note(format string, args ...any) {
	fmt.Fprintf(s.err, "lorafs: "+format+"\n", args...)
}

func (s stdio) writeJSON(v any) error {
	e := json.NewEncoder(s.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// finish prints what a command ended with and returns the exit status.
func (s stdio) finish(err error) int {
	var usage *usageError
	var child *childError
	if r, ok := s.out.(*results); ok && err == nil {
		err = r.err
	}
	switch {
	case err == nil, errors.Is(err, errReported):
	case errors.As(err, &child):
		return child.status
	case errors.As(err, &usage):
		s.printUsageError(usage)
	case errors.Is(err, context.Canceled):
		s.note("interrupted")
	default:
		s.printError(err)
	}
	return exitStatus(err)
}

func (s stdio) printUsageError(e *usageError) {
	name := strings.TrimSpace("lorafs " + e.command)
	fmt.Fprintf(s.err, "%s: %v\nSee %s --help\n", name, e.err, name)
}

// printError prints an error with its cause and cure where they are known.
func (s stdio) printError(err error) {
	if h := hint(err); h != "" {
		s.note("%v", err)
		fmt.Fprintf(s.err, "hint: %s\n", h)
		return
	}
	findings, subject := diagnose.Explain(err), "lorafs"
	if !known(findings) {
		s.note("%v", err)
		return
	}
	var about *subjectError
	if errors.As(err, &about) {
		subject = about.subject
	}
	diagnose.WriteText(s.err, subject, findings)
}

// printJSONError writes what a command with --json failed at as check does.
func (s stdio) printJSONError(err error) {
	var about *subjectError
	if !errors.As(err, &about) {
		return
	}
	findings := diagnose.Explain(err)
	_ = diagnose.WriteJSON(s.out, []diagnose.Result{{Path: about.subject, Kind: check.KindOther, Verdict: diagnose.Judge(findings), Findings: findings}})
}

// known says whether the findings hold more than the error's own text.
func known(findings []diagnose.Finding) bool {
	return slices.ContainsFunc(findings, func(f diagnose.Finding) bool { return f.Cause != "" || f.Fix != "" })
}

// subjectError says which input an error is about.
type subjectError struct {
	subject string
	err     error
}

func (e *subjectError) Error() string { return e.err.Error() }
func (e *subjectError) Unwrap() error { return e.err }

// bar returns a progress function and what ends it. Without a terminal both do
// nothing.
func (s stdio) bar(what string) (progress func(done, total int64), end func()) {
	if !s.progress {
		return func(int64, int64) {}, func() {}
	}
	b := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(s.err),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30),
	)
	progress = func(done, total int64) {
		if b.GetMax64() != total {
			b.ChangeMax64(total)
		}
		_ = b.Set64(done)
	}
	return progress, func() { _ = b.Finish() }
}
