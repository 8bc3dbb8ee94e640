package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/urfave/cli/v2"

	"lorafs/fs"
	"lorafs/lazymerge"
)

// cacheDefault describes the default of --cache-size on any machine.
const cacheDefault = "an eighth of the free memory, at least 64MiB and at most 2GiB"

func mountCommand(io stdio, cacheDefault string) *cli.Command {
	return &cli.Command{
		Name:      "mount",
		Usage:     "serve a base and its adapters as directories of merged models",
		ArgsUsage: "BASE ADAPTER... MOUNTPOINT",
		Description: "With one plain adapter MOUNTPOINT is the merged model's directory. With a library, or several\n" +
			"adapters, it holds a directory for each; a broken one is a file NAME.INVALID that says what is wrong.\n" +
			"Adapters that are added, removed or replaced meanwhile show within two seconds.\n" +
			"With --strict one warning, or one broken adapter of a library, refuses the whole mount.\n" +
			"The command returns when the tree is readable; a background process goes on until it is unmounted.\n\n" +
			"fstab: /models/base /mnt/merged fuse.lorafs adapter=/adapters/sql,allow_other 0 0",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "foreground", Aliases: []string{"f"}, Usage: "stay in the foreground; ^C unmounts"},
			&cli.StringSliceFlag{Name: "adapter", Usage: "one more `ADAPTER`, for fstab and the configuration file; may be repeated"},
			&cli.StringFlag{Name: "cache-size", Usage: "`BYTES` of finished rows to keep (1073741824, 1GiB, 500MB)", DefaultText: cacheDefault},
			&cli.IntFlag{Name: "threads", Usage: "`NUMBER` of requests that compute at the same time", DefaultText: "the number of CPUs"},
			&cli.BoolFlag{Name: "allow-other", Usage: "let other users read the tree"},
			&cli.StringFlag{Name: "log-file", Usage: "append the log to `FILE`", DefaultText: "the system's log, or stderr with -f"},
			&cli.StringFlag{Name: "log-level", Value: "warn", Usage: "log from `LEVEL` upward: debug, info, warn or error"},
			strictFlag(),
			&cli.StringFlag{Name: "config", Usage: "read flags from a YAML `FILE`, one \"name: value\" a line"},
			&cli.StringSliceFlag{Name: "o", Usage: "mount `OPTIONS`: flags as name=value[,name…]; the usual ones of mount(8) are accepted"},
		}, mergeFlags()...),
		Action: func(c *cli.Context) error { return runMount(c, io) },
	}
}

// mountOptions is a checked command line of mount.
type mountOptions struct {
	base       string
	adapters   []string
	mountpoint string
	foreground bool
	cacheBytes int64
	threads    int
	allowOther bool
	logFile    string
	logLevel   string
	strict     bool
	merge      lazymerge.Options
}

func parseMount(c *cli.Context) (o mountOptions, err error) {
	if err := applyConfig(c); err != nil {
		return o, err
	}
	usage := func(format string, args ...any) error {
		return &usageError{command: "mount", err: fmt.Errorf(format, args...)}
	}
	extra := c.StringSlice("adapter")
	if err := wantArgs(c, max(2, 3-len(extra)), -1); err != nil {
		return o, err
	}
	args := c.Args().Slice()
	o = mountOptions{
		base:       args[0],
		adapters:   append(args[1:len(args)-1:len(args)-1], extra...),
		mountpoint: args[len(args)-1],
		foreground: c.Bool("foreground"),
		threads:    runtime.NumCPU(),
		allowOther: c.Bool("allow-other"),
		logFile:    c.String("log-file"),
		logLevel:   c.String("log-level"),
		strict:     c.Bool("strict"),
	}
	if c.IsSet("threads") {
		if o.threads = c.Int("threads"); o.threads < 1 {
			return o, usage("--threads %d: at least one is needed", o.threads)
		}
	}
	o.cacheBytes = defaultCacheBytes(os.DirFS("/"))
	if size := c.String("cache-size"); size != "" {
		if o.cacheBytes, err = parseSize(size); err != nil {
			return o, usage("--cache-size: %w", err)
		}
	}
	if o.merge, err = mergeOptions(c); err != nil {
		return o, err
	}
	if o.mountpoint, err = filepath.Abs(o.mountpoint); err != nil {
		return o, err
	}
	return o, nil
}

func runMount(c *cli.Context, io stdio) error {
	o, err := parseMount(c)
	if err != nil {
		return err
	}
	pipe, err := daemonPipe()
	if err != nil {
		return err
	}
	if !o.foreground && pipe == nil {
		summary, err := startDaemon(c.Context, os.Args)
		if err != nil {
			return err
		}
		io.note("%s", summary)
		return nil
	}
	log, logFile, err := openLog(o.logFile, o.logLevel, o.foreground, io.err)
	if err != nil {
		return err
	}
	return serve(c.Context, o, io, pipe, log, logFile)
}

// serve mounts, reports, and returns when the tree is unmounted: by umount, or by
// a signal.
func serve(ctx context.Context, o mountOptions, io stdio, pipe *os.File, log *slog.Logger, logFile *os.File) (err error) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endSignals()...)
	defer signal.Stop(signals)

	tuneScheduler()
	o.merge.Workers = lazymerge.NewWorkers(o.threads)
	in, err := openInputs(ctx, o.base, o.adapters, o.merge, o.cacheBytes)
	if err != nil {
		return err
	}
	defer closeInto(&err, in.Close)
	in.report(io)
	if o.strict {
		if err := in.checkStrict(); err != nil {
			in.reportBroken(io)
			return err
		}
	}
	server, err := fs.Mount(o.mountpoint, in.tree(), serverOptions(in, o.allowOther, log))
	if err != nil {
		return err
	}
	for _, n := range server.Notes() {
		log.Info(n)
	}
	follower := follow(in, server, o.merge, log)
	defer closeInto(&err, follower.stop)
	defer closeInto(&err, func() error {
		follower.cancel()
		return unmount(server, signals, log)
	})
	log.Info("mounted", "mountpoint", o.mountpoint, "models", len(in.models), "broken", len(in.broken))
	summary := in.summary(o.mountpoint)
	if pipe == nil {
		io.note("%s", summary)
	} else if err := reportReady(pipe, logFile, summary); err != nil {
		return err
	}
	tuneMemory()
	wait(server, signals)
	log.Info("unmounting", "mountpoint", o.mountpoint)
	return nil
}

func closeInto(err *error, closer func() error) {
	if e := closer(); *err == nil {
		*err = e
	}
}

// wait returns at the first signal, or when somebody else has unmounted the tree.
func wait(server *fs.Server, signals <-chan os.Signal) {
	gone := make(chan struct{})
	go func() {
		server.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-signals:
	}
}
