package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

//go:generate sh -c "go run . man --markdown > ../../docs/cli.md.tmp && mv ../../docs/cli.md.tmp ../../docs/cli.md"

// commands lists every command in the order of the help text. cacheDefault is the
// text for the default size of the cache, which differs between machines.
func commands(io stdio, cacheDefault string) []*cli.Command {
	return []*cli.Command{
		mountCommand(io, cacheDefault),
		umountCommand(io),
		lsCommand(io),
		checkCommand(io),
		verifyCommand(io),
		exportCommand(io),
		recoverCommand(io),
		doctorCommand(io),
		benchCommand(io),
		demoCommand(io),
		versionCommand(io),
		completionCommand(io),
		manCommand(io),
	}
}

func newApp(io stdio, cacheDefault string) *cli.App {
	app := &cli.App{
		Name:      "lorafs",
		Usage:     "a base model and its LoRA adapters, served as merged models without merging them",
		UsageText: "lorafs COMMAND [flags] [arguments]",
		Description: "A file system shows the merged model; its bytes are computed when they are read. Nothing is\n" +
			"copied, and neither the base nor the adapter is written to.\n\n" +
			refHelp + "\n\nExit status: 0 done, warnings or not (--strict makes them 1); 1 it failed, or what was checked is broken; 2 wrong usage.",
		Version:                   buildVersion(),
		Writer:                    io.out,
		ErrWriter:                 io.err,
		Commands:                  commands(io, cacheDefault),
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true, // a path may hold a comma
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              onUsageError,
		Action:                    noCommand,
	}
	for _, c := range app.Commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
		c.Action = withJSONErrors(c.Action, io)
		for _, f := range c.Flags {
			if b, ok := f.(*cli.BoolFlag); ok {
				b.DisableDefaultText = true // "(default: false)" says nothing
			}
		}
	}
	return app
}

// withJSONErrors gives those who asked for JSON the findings of an input that failed.
func withJSONErrors(action cli.ActionFunc, io stdio) cli.ActionFunc {
	return func(c *cli.Context) error {
		err := action(c)
		if err != nil && c.Bool("json") && c.Context.Err() == nil {
			io.printJSONError(err)
		}
		return err
	}
}

const refHelp = "BASE is a model directory, one .safetensors file, or org/name[@revision] in the local Hugging Face\n" +
	"cache. ADAPTER is a PEFT adapter directory, one file of kohya, LyCORIS or diffusers (.safetensors, .pt,\n" +
	".ckpt, .bin), an id in that cache, a directory of adapters, or a training output directory; NAME=ADAPTER\n" +
	"names it in the tree. A@0.7+B@0.3 is a stack of adapters with weights, 1 where none stands. Paths may hold\n" +
	"+ and @: a path that exists as written wins, and a stack is read from the left, each part as long as it can\n" +
	"be. org/name@0.5 is the revision 0.5 if the cache has it, else a weight."

func onUsageError(c *cli.Context, err error, _ bool) error {
	name := ""
	if c.Command != nil && c.Command.Name != c.App.Name {
		name = c.Command.Name
	}
	return &usageError{command: name, err: err}
}

func noCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return &usageError{err: errors.New("no command given")}
	}
	known := make([]string, 0, len(c.App.Commands))
	for _, cmd := range c.App.Commands {
		known = append(known, cmd.Name)
	}
	return &usageError{err: fmt.Errorf("unknown command %q; known are %s", c.Args().First(), strings.Join(known, ", "))}
}

// wantArgs checks the number of arguments; most < 0 means any number. An empty one
// is what an unset variable of a shell leaves: it must not mean the working directory.
func wantArgs(c *cli.Context, least, most int) error {
	n := c.NArg()
	if n < least || most >= 0 && n > most {
		return &usageError{command: c.Command.Name, err: fmt.Errorf("%d argument(s) given, wanted %s", n, c.Command.ArgsUsage)}
	}
	if i := slices.Index(c.Args().Slice(), ""); i >= 0 {
		return &usageError{command: c.Command.Name, err: fmt.Errorf("argument %d is empty, wanted %s", i+1, c.Command.ArgsUsage)}
	}
	return nil
}
