package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lorafs/cache"
	"lorafs/lazymerge"
	"lorafs/lazymerge/check"
	"lorafs/lazymerge/diagnose"
)

func checkCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "say what is wrong with adapters, libraries, training outputs and models",
		ArgsUsage: "PATH...",
		Description: "PATH is an adapter, a library of adapters, the output of a training run (each of its checkpoints is\n" +
			"checked), a stack, a base model, a weights file, or settings of a run (accelerate, DeepSpeed,\n" +
			"requirements). With a base, every adapter is opened with it as mount does; a first PATH of several that\n" +
			"is a base model counts as --base. Of models only headers are read, and of adapters all values up to\n" +
			formatSize(check.ValuesBudget) + " together; --deep reads the rest. Status 1: something is broken.\n\n" +
			"--watch judges what a run saves in OUTPUT_DIR once it is written, one line each, until it is\n" +
			"interrupted; what is whole by then is judged, too. Status 0: all was good. It ends with status 1 at the\n" +
			"first that is broken, or runs CMD by sh with LORAFS_PATH, LORAFS_CODE and LORAFS_MESSAGE and goes on.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "base", Usage: "open every adapter with the model `BASE`"},
			&cli.BoolFlag{Name: "deep", Usage: "read all values, of models too"},
			&cli.BoolFlag{Name: "watch", Usage: "PATH is the OUTPUT_DIR of a run that is going on or about to begin"},
			&cli.StringFlag{Name: "on-broken", Usage: "with --watch: run `CMD` for each broken save"},
			&cli.DurationFlag{Name: "interval", Value: 5 * time.Second, Usage: "with --watch: look again after `TIME`, as 5s or 1m"},
			&cli.DurationFlag{Name: "settle", Value: 30 * time.Second, Usage: "with --watch: judge a save that has not changed for `TIME`, if nothing else says that it is complete"},
			strictFlag(),
			jsonFlag(),
		},
		Action: func(c *cli.Context) error { return runCheck(c, io) },
	}
}

// checkCacheBytes is small: what is opened is not read.
const checkCacheBytes = 64 << 20

func runCheck(c *cli.Context, io stdio) error {
	if err := wantArgs(c, 1, -1); err != nil {
		return err
	}
	if err := checkUsage(c); err != nil {
		return &usageError{command: "check", err: err}
	}
	// What one adapter needs is garbage with the next; the heap stays at some tens of megabytes.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	buffers := cache.New[lazymerge.Key](checkCacheBytes)
	defer buffers.Close()
	o := check.Options{Base: c.String("base"), Deep: c.Bool("deep"), Merge: lazymerge.Options{Cache: buffers}}
	if c.Bool("watch") {
		return watch(c, io, o)
	}
	r, err := check.Run(c.Context, c.Args().Slice(), o)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = diagnose.WriteJSON(io.out, r.Results)
	} else {
		err = writeResults(io, r)
	}
	return errors.Join(err, verdictError(r.Results, c.Bool("strict")))
}

// checkUsage refuses flags that mean nothing together.
func checkUsage(c *cli.Context) error {
	if c.Bool("watch") {
		switch {
		case c.NArg() != 1:
			return fmt.Errorf("--watch takes one OUTPUT_DIR, not %d", c.NArg())
		case c.Duration("interval") <= 0 || c.Duration("settle") < 0:
			return errors.New("--interval must be positive, and --settle not negative")
		}
		return watchable(c.Args().First())
	}
	for _, name := range []string{"on-broken", "interval", "settle"} {
		if c.IsSet(name) {
			return fmt.Errorf("--%s is for --watch", name)
		}
	}
	return nil
}

// watchable refuses a path that is there and can be no OUTPUT_DIR.
func watchable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("--watch: %w", err)
	case !info.IsDir():
		return fmt.Errorf("--watch takes an OUTPUT_DIR; %s is no directory", path)
	}
	return nil
}

// verdictError is errReported when a result is bad.
func verdictError(results []diagnose.Result, strict bool) error {
	for _, r := range results {
		if bad(r, strict) {
			return errReported
		}
	}
	return nil
}

func bad(r diagnose.Result, strict bool) bool {
	return r.Verdict == diagnose.VerdictBroken || strict && r.Verdict == diagnose.VerdictWarn
}

// writeResults writes a line for each path that is well, the findings of the others, and
// a line that sums up.
func writeResults(io stdio, r *check.Report) error {
	counts := make(map[diagnose.Verdict]int)
	apart := false
	text := diagnose.NewText(io.out)
	for i, one := range r.Results {
		counts[one.Verdict]++
		if i > 0 && (apart || len(one.Findings) > 0) {
			fmt.Fprintln(io.out)
		}
		apart = len(one.Findings) > 0
		text.Write(one.Path, one.Findings)
	}
	parts := []string{fmt.Sprintf("%d ok", counts[diagnose.VerdictOK])}
	if n := counts[diagnose.VerdictWarn]; n > 0 {
		parts = append(parts, io.paint(yellow, fmt.Sprintf("%d with warnings", n)))
	}
	if n := counts[diagnose.VerdictBroken]; n > 0 {
		parts = append(parts, io.paint(red, fmt.Sprintf("%d broken", n)))
	}
	with := ""
	if r.Base != "" {
		with = "; adapters with the base " + r.Base
	}
	if r.Base == "" && hasKind(r, check.KindAdapter) && hasKind(r, check.KindBase) {
		with = "; the adapters were not opened with a base, which comes first or is given by --base"
	}
	fmt.Fprintf(io.out, "\n%d checked: %s%s\n", len(r.Results), strings.Join(parts, ", "), with)
	if r.Skipped > 0 {
		fmt.Fprintf(io.out, "of %d adapters only the headers were read; --deep reads their values as well\n", r.Skipped)
	}
	return nil
}

func hasKind(r *check.Report, kind string) bool {
	return slices.ContainsFunc(r.Results, func(one diagnose.Result) bool { return one.Kind == kind })
}

// watch judges what a training run saves until it is interrupted, and then what is left.
func watch(c *cli.Context, io stdio, o check.Options) error {
	w := &check.Watcher{Dir: c.Args().First(), Settle: c.Duration("settle"), Options: o}
	io.note("watching %s%s", w.Dir, absence(w.Dir))
	ticks := time.NewTicker(c.Duration("interval"))
	defer ticks.Stop()
	var failed error
	for {
		results, err := w.Poll(c.Context, time.Now())
		if err := report(c.Context, c, io, results); err != nil {
			failed = err
		}
		if failed != nil && (failed != errReported || !c.IsSet("on-broken")) {
			return failed
		}
		if err != nil && c.Context.Err() == nil {
			return err
		}
		select {
		case <-c.Context.Done():
			return errors.Join(failed, finishWatch(c, io, w))
		case <-ticks.C:
		}
	}
}

// absence is what to say of a directory that is not there.
func absence(dir string) string {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return ", which is not there yet"
	}
	return ""
}

// finishWatch judges what was saved and not judged when the watch was interrupted. A
// second signal ends it.
func finishWatch(c *cli.Context, io stdio, w *check.Watcher) error {
	ctx := context.WithoutCancel(c.Context)
	results, err := w.Finish(ctx, time.Now())
	failed := report(ctx, c, io, results)
	for _, path := range w.Pending() {
		io.note("%s was not judged: it was not complete yet", path)
	}
	if w.Judged() == 0 {
		io.note("nothing was judged in %s%s", w.Dir, absence(w.Dir))
	}
	return errors.Join(failed, err)
}

// report announces results and runs the command of --on-broken for the bad ones.
// errReported is that there were some.
func report(ctx context.Context, c *cli.Context, io stdio, results []diagnose.Result) (failed error) {
	for _, r := range results {
		if err := announce(c, io, r); err != nil {
			return err
		}
		if !bad(r, c.Bool("strict")) {
			continue
		}
		failed = errReported
		if !c.IsSet("on-broken") {
			continue
		}
		if err := onBroken(ctx, c.String("on-broken"), io, r); err != nil {
			io.note("--on-broken: %v", err)
		}
	}
	return failed
}

// announce writes one result: a line of JSON, or a line and the findings.
func announce(c *cli.Context, io stdio, r diagnose.Result) error {
	if !c.Bool("json") {
		diagnose.WriteText(io.out, r.Path, r.Findings)
		return nil
	}
	if r.Findings == nil {
		r.Findings = []diagnose.Finding{}
	}
	e := json.NewEncoder(io.out)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// onBroken runs a command of the user with what was found. It gets SIGINT when lorafs
// is interrupted.
func onBroken(ctx context.Context, command string, io stdio, r diagnose.Result) error {
	f := r.Findings[0]
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "LORAFS_PATH="+r.Path, "LORAFS_CODE="+f.Code, "LORAFS_MESSAGE="+f.Message)
	cmd.Stdout, cmd.Stderr = io.err, io.err
	return cmd.Run()
}
