package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func doctorCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:        "doctor",
		Usage:       "say what this machine lacks to mount well, and how to get it",
		Description: "The status is 1 only when nothing can be mounted.",
		Flags:       []cli.Flag{jsonFlag()},
		Action:      func(c *cli.Context) error { return runDoctor(c, io) },
	}
}

func runDoctor(c *cli.Context, io stdio) error {
	if err := wantArgs(c, 0, 0); err != nil {
		return err
	}
	checks := examineMachine(thisMachine())
	ok := mountable(checks)
	if c.Bool("json") {
		if err := io.writeJSON(examination{ok, checks}); err != nil {
			return err
		}
	} else {
		writeChecks(io, checks)
		if ok {
			fmt.Fprintln(io.out, "\nThis machine can mount.")
		} else {
			fmt.Fprintln(io.out, "\nThis machine cannot mount. `lorafs export` and `lorafs verify` work.")
		}
	}
	if !ok {
		return errReported
	}
	return nil
}

// examination is the result of doctor.
type examination struct {
	Mountable bool           `json:"mountable"`
	Checks    []machineCheck `json:"checks"`
}

func writeChecks(io stdio, checks []machineCheck) {
	styles := map[checkState]style{fit: green, limited: yellow, missing: red}
	for _, c := range checks {
		fmt.Fprintf(io.out, "%s  %-18s  %s\n", io.paint(styles[c.State], fmt.Sprintf("%-7s", c.State)), c.Name, c.Value)
		if c.Cost != "" {
			fmt.Fprintf(io.out, "%9scosts: %s\n%9scure:  %s\n", "", c.Cost, "", c.Cure)
		}
	}
}
