package main

import (
	"fmt"
	"strings"

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
		&cli.StringFlag{Name: "rounding", Value: "peft", Usage: "round as `MODE`: peft (what merge_and_unload does), once, or twice (what safe_merge does); a stack is rounded once unless MODE is given"},
		&cli.StringFlag{Name: "combine", Usage: "make one adapter of a stack as PEFT's add_weighted_adapter does, by `TYPE`: " + strings.Join(lazymerge.CombineTypes(), ", "), DefaultText: "what the adapters add is added"},
		&cli.Float64Flag{Name: "density", Usage: "`SHARE` of the values that ties, dare and magnitude_prune keep, 0 to 1", DefaultText: "none"},
		&cli.StringFlag{Name: "majority-sign", Value: "total", Usage: "how ties finds the sign of most, by `METHOD`: total (the sum), or frequency (the count)"},
		&cli.Int64Flag{Name: "seed", Usage: "`NUMBER` from which dare draws what it drops"},
		&cli.StringFlag{Name: "experts", Usage: "read the columns of lora_B of stacked experts in `ORDER`: rank-major (PEFT's), or grouped (by expert, unsloth's until 2026-09), whatever the adapter says"},
		&cli.BoolFlag{Name: "allow-unused", Usage: "accept an adapter with tensors that nothing uses"},
		&cli.BoolFlag{Name: "allow-missing", Usage: "accept an adapter that has lost all of a module, which then stays the base's, or a tensor that a module's like has"},
		&cli.BoolFlag{Name: "allow-nonfinite", Usage: "accept NaN and Inf in an adapter"},
	}
}

func mergeOptions(c *cli.Context) (lazymerge.Options, error) {
	o := lazymerge.Options{AllowUnused: c.Bool("allow-unused"), AllowMissing: c.Bool("allow-missing"), AllowNonFinite: c.Bool("allow-nonfinite")}
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
	o.Sequential = c.IsSet("rounding") && o.Rounding != transform.Once
	combine, err := combineOption(c)
	if err != nil {
		return o, &usageError{command: c.Command.Name, err: err}
	}
	o.Combine = combine
	return o, nil
}

// combineOption reads --combine and the flags that belong to it; nil without it.
func combineOption(c *cli.Context) (*lazymerge.Combine, error) {
	x := &lazymerge.Combine{Type: c.String("combine"), Density: c.Float64("density"), Seed: c.Int64("seed")}
	var prunes, elects, draws bool
	if x.Type != "" {
		if err := x.Check(); err != nil {
			return nil, fmt.Errorf("--combine: %w", err)
		}
		prunes, elects, draws = x.Prunes(), x.Elects(), x.Draws()
	}
	for _, f := range []struct {
		name string
		of   bool
	}{{"density", prunes}, {"majority-sign", elects}, {"seed", draws}} {
		switch {
		case c.IsSet(f.name) && x.Type == "":
			return nil, fmt.Errorf("--%s has no effect without --combine", f.name)
		case c.IsSet(f.name) && !f.of:
			return nil, fmt.Errorf("--%s has no effect with --combine %s", f.name, x.Type)
		}
	}
	if x.Type == "" {
		return nil, nil
	}
	if prunes && !c.IsSet("density") {
		return nil, fmt.Errorf("--combine %s needs --density", x.Type)
	}
	switch name := c.String("majority-sign"); name {
	case "total":
	case "frequency":
		x.Frequency = true
	default:
		return nil, fmt.Errorf("--majority-sign %q: known are total, frequency", name)
	}
	return x, nil
}
