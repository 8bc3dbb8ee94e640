package main

import (
	"fmt"

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
	failed := false
	for _, mountpoint := range c.Args().Slice() {
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
