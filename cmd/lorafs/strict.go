package main

import "github.com/urfave/cli/v2"

// strictFlag makes warnings count as failures.
func strictFlag() cli.Flag {
	return &cli.BoolFlag{Name: "strict", Usage: "exit with status 1 on warnings, too"}
}
