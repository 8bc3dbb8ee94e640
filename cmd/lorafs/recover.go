package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"lorafs/cache"
	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/diagnose"
	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/recovery"
)

func recoverCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:      "recover",
		Usage:     "rebuild an adapter from a training checkpoint",
		ArgsUsage: "CHECKPOINT OUT_DIR",
		Description: "CHECKPOINT is what DeepSpeed ZeRO (stage 1, 2 or 3, universal), FSDP or the Trainer wrote: checkpoint-N, the\n" +
			"directory of a step, a directory with .metadata, a .bin or .safetensors file of a model in training, or a\n" +
			"run's output, of which the newest checkpoint is taken. No Python is needed and no code in a file is run.\n" +
			"Only the adapter's tensors are read. OUT_DIR must not exist, or be empty, in a directory\n" +
			"that exists; it is either absent or whole.\n\n" +
			"Values are written in fp32 where the optimizer has them in fp32, since those are the ones that were\n" +
			"trained and a merge rounds them once; otherwise as they are stored. --dtype saved takes the values that\n" +
			"the model computed with, for which stages 1 and 2 need no optimizer states.\n\n" +
			"adapter_config.json comes from --config, from the checkpoint or from beside it. For LoRA it is rebuilt\n" +
			"from the shapes when there is none; then --alpha has to say lora_alpha, which no tensor holds.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "adapter", Usage: "`NAME` of the adapter in the model, where it has several"},
			&cli.StringFlag{Name: "config", Usage: "`FILE` to take as adapter_config.json"},
			&cli.StringFlag{Name: "alpha", Usage: "lora_alpha, a `NUMBER`, for an adapter_config.json that is rebuilt"},
			&cli.StringFlag{Name: "dtype", Value: "best", Usage: "`DTYPE` of the values: best (fp32 of the optimizer, else as stored), saved, fp32, bf16 or fp16"},
			&cli.StringFlag{Name: "base", Usage: "`BASE` model that the adapter has to fit"},
			&cli.BoolFlag{Name: "full", Usage: "write all parameters under their own names instead, as zero_to_fp32 does"},
			&cli.StringFlag{Name: "shard-size", Value: "5GB", Usage: "with --full, the most bytes of a file, a `SIZE`"},
			&cli.BoolFlag{Name: "allow-nonfinite", Usage: "accept NaN and infinite values"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error { return runRecover(c, io) },
	}
}

func runRecover(c *cli.Context, io stdio) error {
	if err := wantArgs(c, 2, 2); err != nil {
		return err
	}
	o, err := recoverOptions(c)
	if err != nil {
		return &usageError{command: "recover", err: err}
	}
	if err := openNamed(c.String("base"), o.Config); err != nil {
		return err
	}
	from, out := c.Args().Get(0), c.Args().Get(1)
	progress, end := io.bar("recover")
	h := recovery.Hooks{
		Progress: progress,
		Room:     func(bytes int64) error { return checkSpace(out, bytes) },
	}
	if base := c.String("base"); base != "" {
		h.Check = func(dir string) error { return fits(c.Context, base, dir) }
	}
	do := recovery.Adapter
	if c.Bool("full") {
		do = recovery.Full
	}
	r, err := do(c.Context, from, out, o, h)
	end()
	if err != nil {
		subject := from
		if failed := (*recovery.OutputError)(nil); errors.As(err, &failed) {
			subject = out
		}
		return &subjectError{subject: subject, err: err}
	}
	if c.Bool("json") {
		return io.writeJSON(r)
	}
	reportRecovered(io, r)
	if !c.Bool("full") {
		fmt.Fprintf(io.err, "hint: %s\n", diagnose.CheckCommand(c.String("base"), out))
	}
	return nil
}

func recoverOptions(c *cli.Context) (o recovery.Options, err error) {
	o = recovery.Options{Adapter: c.String("adapter"), Config: c.String("config"), Alpha: c.String("alpha"), AllowNonFinite: c.Bool("allow-nonfinite")}
	dtypes := map[string]recovery.DType{"best": recovery.Best, "saved": recovery.Saved, "fp32": recovery.F32, "bf16": recovery.BF16, "fp16": recovery.F16}
	var ok bool
	if o.DType, ok = dtypes[c.String("dtype")]; !ok {
		return o, fmt.Errorf("--dtype %q is none of best, saved, fp32, bf16 and fp16", c.String("dtype"))
	}
	if o.Alpha != "" {
		if alpha, err := strconv.ParseFloat(o.Alpha, 64); err != nil || !json.Valid([]byte(o.Alpha)) || alpha <= 0 {
			return o, fmt.Errorf("--alpha %q is no number above 0", o.Alpha)
		}
	}
	if o.ShardSize, err = parseSize(c.String("shard-size")); err != nil {
		return o, fmt.Errorf("--shard-size: %w", err)
	}
	if !c.Bool("full") {
		if c.IsSet("shard-size") {
			return o, errors.New("--shard-size is for --full")
		}
		return o, nil
	}
	for _, name := range []string{"adapter", "config", "alpha", "base"} {
		if c.IsSet(name) {
			return o, fmt.Errorf("--%s is for an adapter, and --full writes the whole model", name)
		}
	}
	return o, nil
}

// openNamed opens what flags name, so that a fault of theirs is not the checkpoint's.
func openNamed(base, config string) error {
	if config != "" {
		if _, err := peft.ReadConfig(config); err != nil {
			return &subjectError{subject: config, err: err}
		}
	}
	if base == "" {
		return nil
	}
	b, err := lazymerge.OpenBase(base)
	if err == nil {
		err = b.Close()
	}
	if err != nil {
		return &subjectError{subject: base, err: err}
	}
	return nil
}

// fits opens an adapter on a base, as mount would.
func fits(ctx context.Context, baseRef, dir string) (err error) {
	base, err := lazymerge.OpenBase(baseRef)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.Close()) }()
	library, err := modeldir.FindAdapters([]string{"recovered=" + dir})
	if err != nil {
		return err
	}
	tiles := cache.New[lazymerge.Key](exportCacheBytes)
	defer func() { err = errors.Join(err, tiles.Close()) }()
	m, err := lazymerge.Open(ctx, base, library.Adapters[0], lazymerge.Options{Cache: tiles})
	if err != nil {
		return err
	}
	return m.Close()
}

func reportRecovered(io stdio, r *recovery.Result) {
	for _, n := range r.Notes {
		io.note("%s", n)
	}
	if n := len(r.Left); n > 0 {
		io.note("warning: %d trained tensors are not of what PEFT saves in an adapter and were left out (--full writes them): %s", n, firstFew(r.Left))
	}
	switch {
	case r.Rebuilt:
		io.note("adapter_config.json was rebuilt from the tensors: rank and modules are theirs; alpha is as given, and use_rslora is taken to be off")
	case r.Config != "":
		io.note("adapter_config.json is that of %s", r.Config)
	}
	io.note("wrote %d tensors (%s, %s) of a %s to %s", r.Tensors, formatSize(r.Bytes), r.DType, r.Kind, r.Out)
}

func firstFew(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and more"
}
