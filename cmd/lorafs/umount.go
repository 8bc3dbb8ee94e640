package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"lorafs/fs"
)

func umountCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:      "umount",
		Usage:     "unmount a tree",
		ArgsUsage: "MOUNTPOINT...",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "lazy", Aliases: []string{"l"}, Usage: "detach now, even when files are open; who has them open can read on"},
		},
		Action: func(c *cli.Context) error { return runUmount(c, io) },
	}
}

func runUmount(c *cli.Context, io stdio) error {
	if err := wantArgs(c, 1, -1); err != nil {
		return err
	}
	mountpoints := c.Args().Slice()
	if err := stepOut(mountpoints); err != nil {
		return err
	}
	failed := false
	for _, mountpoint := range mountpoints {
		if err := fs.Unmount(mountpoint, c.Bool("lazy")); err != nil {
			io.printError(fmt.Errorf("unmount %s: %w", mountpoint, err))
			failed = true
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// stepOut makes the paths absolute and leaves the working directory: called from
// inside a tree, this process would hold it itself.
func stepOut(paths []string) error {
	for i, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		paths[i] = abs
	}
	return os.Chdir("/")
}
