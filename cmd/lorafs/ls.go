package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"lorafs/lazymerge"
	"lorafs/lazymerge/diagnose"
)

func lsCommand(io stdio) *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Usage:     "print the tree and what each adapter does, without mounting",
		ArgsUsage: "BASE ADAPTER...",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "long", Aliases: []string{"l"}, Usage: "also say where the bytes of each file come from, and since when"},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "also list .lorafs/"},
			strictFlag(),
			jsonFlag(),
		}, mergeFlags()...),
		Action: func(c *cli.Context) error { return runLs(c, io) },
	}
}

// listing is the result of ls.
type listing struct {
	Models  []listedModel   `json:"models"`
	Invalid []listedInvalid `json:"invalid"`
}

type listedModel struct {
	Name     string             `json:"name"` // "" when the tree is this one model
	Adapter  string             `json:"adapter"`
	Summary  string             `json:"summary"`
	Findings []diagnose.Finding `json:"findings,omitempty"` // warnings
	Combined string             `json:"combined,omitempty"` // of a stack: how
	Stack    []lazymerge.Layer  `json:"stack,omitempty"`
	Files    []listedFile       `json:"files"`
}

type listedFile struct {
	Path   string    `json:"path"`
	Size   int64     `json:"size"`
	Origin string    `json:"origin"` // "merged": computed when read; "disk": a file as it is
	Host   string    `json:"host,omitempty"`
	MTime  time.Time `json:"mtime"`
}

type listedInvalid struct {
	Name     string             `json:"name"`
	Findings []diagnose.Finding `json:"findings"`
}

func runLs(c *cli.Context, io stdio) error {
	if err := wantArgs(c, 2, -1); err != nil {
		return err
	}
	o, err := mergeOptions(c)
	if err != nil {
		return err
	}
	args := c.Args().Slice()
	in, err := openInputs(c.Context, args[0], args[1:], o, defaultCacheBytes(os.DirFS("/")))
	if err != nil {
		return err
	}
	defer in.Close()
	l := list(in, c.Bool("all"))
	if c.Bool("json") {
		err = io.writeJSON(l)
	} else {
		in.report(io)
		err = l.write(io, c.Bool("long"), in)
	}
	if err == nil && c.Bool("strict") {
		err = in.checkStrict()
	}
	return err
}

func list(in *inputs, all bool) listing {
	l := listing{Models: []listedModel{}, Invalid: []listedInvalid{}}
	for _, m := range in.models {
		r := m.Report()
		lm := listedModel{Name: m.Name(), Adapter: r.Adapter, Summary: r.Summary(), Findings: diagnose.Warnings(r.File, r.Warnings), Combined: r.Combined, Stack: r.Stack, Files: []listedFile{}}
		if in.library.Single {
			lm.Name = ""
		}
		for _, e := range m.Entries() {
			if all || !e.Hidden {
				lm.Files = append(lm.Files, listFile(e))
			}
		}
		l.Models = append(l.Models, lm)
	}
	for _, b := range in.broken {
		l.Invalid = append(l.Invalid, listedInvalid{Name: b.name, Findings: b.findings})
	}
	return l
}

func listFile(e lazymerge.Entry) listedFile {
	origin := "merged"
	if e.Host != "" {
		origin = "disk"
	}
	return listedFile{Path: e.Path, Size: e.Size, Origin: origin, Host: e.Host, MTime: e.ModTime.UTC()}
}

func (l listing) write(io stdio, long bool, in *inputs) error {
	for i, m := range l.Models {
		if i > 0 {
			fmt.Fprintln(io.out)
		}
		title := m.Name + "/"
		if m.Name == "" {
			title = "./"
		}
		fmt.Fprintf(io.out, "%s  %s\n", io.paint(bold, title), m.Summary)
		if long {
			if err := m.writeStack(io); err != nil {
				return err
			}
		}
		if err := m.write(io, long); err != nil {
			return err
		}
	}
	for i, b := range in.broken {
		if i+len(l.Models) > 0 {
			fmt.Fprintln(io.out)
		}
		fmt.Fprintf(io.out, "%s  not served\n", io.paint(red, b.name+".INVALID"))
		fmt.Fprint(io.out, indent(b.text(), "    "))
	}
	return nil
}

// writeStack lists the adapters of a stack: weight, adapter, what it does.
func (m listedModel) writeStack(io stdio) error {
	if m.Stack == nil {
		return nil
	}
	fmt.Fprintf(io.out, "  combined: %s\n", m.Combined)
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, l := range m.Stack {
		fmt.Fprintf(w, "  %v\t%s\t%s\n", l.Weight, l.Adapter, l.Summary())
	}
	return w.Flush()
}

func (m listedModel) write(io stdio, long bool) error {
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range m.Files {
		if long {
			fmt.Fprintf(w, "  %d\t%s\t%s\t  %s\n", f.Size, f.Origin, f.MTime.Format("2006-01-02 15:04"), f.Path)
		} else {
			fmt.Fprintf(w, "  %d\t  %s\n", f.Size, f.Path)
		}
	}
	return w.Flush()
}

func indent(text, by string) string {
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if line != "" {
			b.WriteString(by)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
