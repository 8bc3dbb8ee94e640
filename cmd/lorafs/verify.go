package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"lorafs/lazymerge"
)

func verifyCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "say, tensor by tensor, whether a merged model is that base plus that adapter",
		ArgsUsage: "BASE ADAPTER MERGED_DIR",
		Description: "A tensor is equal, close (within the tolerance between two right merges), of other-rounding,\n" +
			"not-applied, applied-twice, of wrong-scaling, base-differs (no adapter touches it, yet it is not the\n" +
			"base's), differs, missing, extra, or of another shape-or-dtype. All but the first three give status 1.",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also print the tensors that are right"},
			strictFlag(),
			jsonFlag(),
		}, mergeFlags()...),
		Action: func(c *cli.Context) error { return runVerify(c, io) },
	}
}

func runVerify(c *cli.Context, io stdio) error {
	if err := wantArgs(c, 3, 3); err != nil {
		return err
	}
	o, err := mergeOptions(c)
	if err != nil {
		return err
	}
	o.Workers = nil
	in, err := openInputs(c.Context, c.Args().Get(0), []string{c.Args().Get(1)}, o, defaultCacheBytes(os.DirFS("/")))
	if err != nil {
		return err
	}
	defer in.Close()
	in.report(io)
	m, err := in.one("verify")
	if err != nil {
		return err
	}
	progress, end := io.bar("verify")
	v, err := lazymerge.Verify(c.Context, m, c.Args().Get(2), progress)
	end()
	if err != nil {
		return &subjectError{subject: c.Args().Get(2), err: err}
	}
	if c.Bool("json") {
		err = io.writeJSON(v)
	} else {
		err = writeVerdict(io, v, c.Bool("all"))
	}
	if err == nil && !v.OK {
		err = errReported
	}
	if err == nil && c.Bool("strict") {
		err = in.checkStrict()
	}
	return err
}

// verdictOrder is the order of the summary: what is right first.
var verdictOrder = []lazymerge.State{
	lazymerge.Equal, lazymerge.Close, lazymerge.Rounded, lazymerge.NotApplied, lazymerge.Twice, lazymerge.Scaled,
	lazymerge.BaseOnly, lazymerge.Differs, lazymerge.Misshapen, lazymerge.Missing, lazymerge.Extra,
}

func good(s lazymerge.State) bool {
	return s == lazymerge.Equal || s == lazymerge.Close || s == lazymerge.Rounded
}

func writeVerdict(io stdio, v *lazymerge.Verdict, all bool) error {
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, t := range v.Tensors {
		if all || !good(t.State) {
			fmt.Fprintf(w, "%s\t%s\t%s\n", t.Name, t.State, t.Detail)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range verdictOrder {
		if n := v.Counts[s]; n > 0 {
			fmt.Fprintf(io.out, "%d %s\n", n, s)
		}
	}
	if v.OK {
		fmt.Fprintln(io.out, io.paint(green, "right: the merged model is the base plus the adapter"))
	} else {
		fmt.Fprintln(io.out, io.paint(red, "wrong: the merged model is not the base plus the adapter"))
	}
	return nil
}
