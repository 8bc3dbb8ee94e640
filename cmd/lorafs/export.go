package main

import (
	"context"
	"errors"
	"fmt"
	stdfs "io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"lorafs/lazymerge"
)

// exportCacheBytes is small: an export reads every byte once, in order.
const exportCacheBytes = 64 << 20

func exportCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write the merged model to disk",
		ArgsUsage: "BASE ADAPTER OUT_DIR",
		Description: "OUT_DIR must not exist, or be empty. The model is written beside it under a temporary name and\n" +
			"renamed at the end: OUT_DIR is either absent or whole. With --strict a warning leaves it absent.",
		Flags:  append([]cli.Flag{strictFlag(), jsonFlag()}, mergeFlags()...),
		Action: func(c *cli.Context) error { return runExport(c, io) },
	}
}

func runExport(c *cli.Context, io stdio) error {
	if err := wantArgs(c, 3, 3); err != nil {
		return err
	}
	o, err := mergeOptions(c)
	if err != nil {
		return err
	}
	out := c.Args().Get(2)
	in, err := openInputs(c.Context, c.Args().Get(0), []string{c.Args().Get(1)}, o, exportCacheBytes)
	if err != nil {
		return err
	}
	defer in.Close()
	in.report(io)
	m, err := in.one("export")
	if err == nil && c.Bool("strict") {
		err = in.checkStrict()
	}
	if err != nil {
		return err
	}
	if err := checkSpace(out, m.Size()); err != nil {
		return &subjectError{subject: out, err: err}
	}
	if err := export(c.Context, m, out, io); err != nil {
		return err
	}
	r := m.Report()
	if c.Bool("json") {
		return io.writeJSON(exported{Out: out, Adapter: r.Adapter, Summary: r.Summary(), Bytes: m.Size()})
	}
	io.note("wrote %s (%s) to %s", r.Summary(), formatSize(m.Size()), out)
	return nil
}

// exported is the result of export.
type exported struct {
	Out     string `json:"out"`
	Adapter string `json:"adapter"`
	Summary string `json:"summary"`
	Bytes   int64  `json:"bytes"`
}

func export(ctx context.Context, m *lazymerge.Model, out string, io stdio) error {
	progress, end := io.bar("export")
	err := lazymerge.Export(ctx, m, out, progress)
	end()
	if err != nil {
		return &subjectError{subject: out, err: err}
	}
	return nil
}

// spaceError is a disk too small for a model.
type spaceError struct {
	dir          string
	needed, free int64
}

func (e *spaceError) Error() string {
	return fmt.Sprintf("%s has %s free, the model needs %s", e.dir, formatSize(e.free), formatSize(e.needed))
}

func (e *spaceError) Unwrap() error { return syscall.ENOSPC }

// checkSpace asks the file system of out before hours of writing, not after.
func checkSpace(out string, needed int64) error {
	parent := filepath.Dir(filepath.Clean(out))
	if st, err := os.Stat(parent); err != nil {
		return err
	} else if !st.IsDir() {
		return &stdfs.PathError{Op: "open", Path: parent, Err: errors.New("not a directory")}
	}
	if err := unix.Access(parent, unix.W_OK); err != nil { // what is read-only has no free space, either
		return &stdfs.PathError{Op: "mkdir", Path: out, Err: err}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(parent, &st); err != nil {
		return nil // some file systems do not say; the write will
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < needed {
		return &spaceError{dir: parent, needed: needed, free: free}
	}
	return nil
}
