// Command lorafs shows a base model and its LoRA adapters as the files of merged
// models.
//
// Each command is one file that holds its flags, its parsing and its run function;
// app.go lists them. Results go to stdout and everything else to stderr. Only main
// ends the process, so that every deferred unmount and clean-up runs; it exits
// with 0 when the work is done, 1 when it failed or what was checked is broken, 2
// when the command line was wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"lorafs/lazymerge/kernel"
)

func main() { os.Exit(run(os.Args, systemIO())) }

// run is the whole program; it returns the exit status.
func run(argv []string, io stdio) int {
	ctx, stop := signal.NotifyContext(context.Background(), endSignals()...)
	defer stop()
	// After the first signal the default action is back: a second one kills what
	// does not listen to its context. mount keeps its own channel and goes on.
	context.AfterFunc(ctx, stop)

	if err := kernel.FromEnv(); err != nil {
		return io.finish(&usageError{err: fmt.Errorf("LORAFS_KERNEL: %w", err)})
	}
	here := fmt.Sprintf("%s; here %s", cacheDefault, formatSize(defaultCacheBytes(os.DirFS("/"))))
	app := newApp(io, here)
	return io.finish(app.RunContext(ctx, permute(mountHelperArgs(argv, app), app)))
}

// exitStatus maps the error of a command to the status of the process.
func exitStatus(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	}
	return 1
}

// usageError is a command line that means nothing.
type usageError struct {
	command string // "" for the program as a whole
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// errReported is returned by a command that has printed what is wrong itself.
var errReported = errors.New("the findings were printed")
