package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"lorafs/lazymerge"
	"lorafs/lazymerge/transform"
)

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print the result as JSON"}
}

// mergeFlags are those that decide the bytes; every command that opens a pair has
// them.
func mergeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "rounding", Value: "peft", Usage: "round as `MODE`: peft (what merge_and_unload does), once, or twice (what safe_merge does)"},
		&cli.StringFlag{Name: "experts", Usage: "read the columns of lora_B of stacked experts in `ORDER`: rank-major (PEFT's), or grouped (by expert, unsloth's until 2026-09), whatever the adapter says"},
		&cli.BoolFlag{Name: "allow-unused", Usage: "accept an adapter with tensors that nothing uses"},
		&cli.BoolFlag{Name: "allow-nonfinite", Usage: "accept NaN and Inf in an adapter"},
	}
}

func mergeOptions(c *cli.Context) (lazymerge.Options, error) {
	o := lazymerge.Options{AllowUnused: c.Bool("allow-unused"), AllowNonFinite: c.Bool("allow-nonfinite")}
	switch name := c.String("experts"); name {
	case "":
	case "rank-major":
		o.Experts = transform.RankMajor
	case "grouped":
		o.Experts = transform.ByExpert
	default:
		return o, &usageError{command: c.Command.Name, err: fmt.Errorf("--experts %q: known are rank-major, grouped", name)}
	}
	switch name := c.String("rounding"); name {
	case "peft":
		o.Rounding = transform.PEFT
	case "once":
		o.Rounding = transform.Once
	case "twice":
		o.Rounding = transform.Twice
	default:
		return o, &usageError{command: c.Command.Name, err: fmt.Errorf("--rounding %q: known are peft, once, twice", name)}
	}
	return o, nil
}
