package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"lorafs/cache"
	"lorafs/fs"
	"lorafs/lazymerge"
	"lorafs/lazymerge/diagnose"
	"lorafs/lazymerge/modeldir"
)

// inputs is a base with the models made of it, opened and checked; nothing is
// computed yet.
type inputs struct {
	base    *lazymerge.Base
	cache   *cache.Cache[lazymerge.Key]
	paths   []string          // of the base and of what was named as adapters
	library *modeldir.Library // what was named as adapters
	models  []*lazymerge.Model
	broken  []brokenAdapter
	notes   []string
	closers []func() error
}

// brokenAdapter is an adapter of a library that cannot be served.
type brokenAdapter struct {
	name     string
	err      error
	findings []diagnose.Finding
}

func newBroken(a modeldir.Adapter, err error) brokenAdapter {
	return brokenAdapter{name: a.Name, err: &subjectError{subject: a.Ref, err: err}, findings: diagnose.Explain(err)}
}

// text is what the file NAME.INVALID holds and what the commands print.
func (b brokenAdapter) text() string {
	var s strings.Builder
	diagnose.WriteText(&s, b.name, b.findings)
	return s.String()
}

// invalid is the adapter as the tree shows it.
func (b brokenAdapter) invalid() fs.Invalid { return fs.Invalid{Name: b.name, Text: b.text()} }

// openInputs opens BASE and its adapters. The error of a single plain adapter is
// returned; in a library it makes a brokenAdapter.
func openInputs(ctx context.Context, baseRef string, adapterRefs []string, o lazymerge.Options, cacheBytes int64) (*inputs, error) {
	in := &inputs{cache: cache.New[lazymerge.Key](cacheBytes)}
	in.closers = append(in.closers, in.cache.Close)
	o.Cache = in.cache
	if err := in.open(ctx, baseRef, adapterRefs, o); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return in, nil
}

func (in *inputs) open(ctx context.Context, baseRef string, adapterRefs []string, o lazymerge.Options) error {
	base, err := lazymerge.OpenBase(baseRef)
	if err != nil {
		return &subjectError{subject: baseRef, err: err}
	}
	in.base = base
	in.closers = append(in.closers, base.Close)
	in.paths = append(in.paths, base.Dir())
	library, err := modeldir.FindAdapters(adapterRefs)
	if err != nil {
		return &subjectError{subject: strings.Join(adapterRefs, " "), err: err}
	}
	in.library = library
	in.paths = append(in.paths, library.Dirs...)
	stacks := false
	for _, a := range library.Adapters {
		if a.File != "" {
			in.paths = append(in.paths, a.File) // what lies beside it is not the adapter's
			continue
		}
		in.paths = append(in.paths, a.Dir)
		for _, p := range a.Parts {
			in.paths = append(in.paths, p.Dir)
			stacks = true
		}
	}
	if o.Combine != nil && !stacks {
		return &usageError{err: fmt.Errorf("--combine %s: no ADAPTER is a stack, as A@0.7+B", o.Combine.Type)}
	}
	for _, a := range library.Adapters {
		if err := in.openAdapter(ctx, a, o); err != nil {
			return err
		}
	}
	return nil
}

func (in *inputs) openAdapter(ctx context.Context, a modeldir.Adapter, o lazymerge.Options) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.Note != "" {
		in.notes = append(in.notes, fmt.Sprintf("%s: %s", a.Name, a.Note))
	}
	m, err := lazymerge.Open(ctx, in.base, a, o)
	switch {
	case err == nil:
		in.models = append(in.models, m)
		in.closers = append(in.closers, m.Close)
	case in.library.Single, errors.Is(err, context.Canceled):
		return &subjectError{subject: a.Ref, err: err}
	default:
		in.broken = append(in.broken, newBroken(a, err))
	}
	return nil
}

// Close closes the models, the base and the cache, in that order.
func (in *inputs) Close() error {
	var errs []error
	for i := len(in.closers) - 1; i >= 0; i-- {
		errs = append(errs, in.closers[i]())
	}
	in.closers = nil
	return errors.Join(errs...)
}

// one is the only model of a command that works on one pair.
func (in *inputs) one(command string) (*lazymerge.Model, error) {
	if len(in.models) == 1 && len(in.broken) == 0 {
		return in.models[0], nil
	}
	if len(in.models)+len(in.broken) == 1 {
		return nil, in.broken[0].err
	}
	names := make([]string, 0, len(in.models)+len(in.broken))
	for _, m := range in.models {
		names = append(names, m.Name())
	}
	for _, b := range in.broken {
		names = append(names, b.name)
	}
	return nil, &usageError{command: command, err: fmt.Errorf("ADAPTER is a library of %d adapters (%s); name one of them", len(names), strings.Join(names, ", "))}
}

// tree is what fs shows of the inputs.
func (in *inputs) tree() fs.Tree {
	if in.library.Single {
		return fs.Tree{Single: in.models[0]}
	}
	t := fs.Tree{Models: in.models}
	for _, b := range in.broken {
		t.Invalid = append(t.Invalid, b.invalid())
	}
	return t
}

// report writes the notes and warnings of the inputs to stderr.
func (in *inputs) report(io stdio) {
	for _, n := range in.notes {
		io.note("%s", n)
	}
	for _, m := range in.models {
		for _, f := range diagnose.Warnings(m.Report().File, m.Report().Warnings) {
			io.note("%s: warning: %s [%s]", m.Name(), f.Message, f.Code)
		}
	}
}

// strictError says that --strict does not take what the inputs have.
type strictError struct{ warnings, broken int }

func (e *strictError) Error() string {
	return fmt.Sprintf("--strict: %d warning(s), %d broken adapter(s)", e.warnings, e.broken)
}

// checkStrict refuses inputs with warnings or broken adapters. Errors: *strictError.
func (in *inputs) checkStrict() error {
	e := &strictError{broken: len(in.broken)}
	for _, m := range in.models {
		e.warnings += len(m.Report().Warnings)
	}
	if *e == (strictError{}) {
		return nil
	}
	return e
}

// reportBroken writes what is wrong with the broken adapters of a library to stderr.
func (in *inputs) reportBroken(io stdio) {
	for _, b := range in.broken {
		fmt.Fprint(io.err, b.text())
	}
}

// summary is the line that a successful mount prints.
func (in *inputs) summary(mountpoint string) string {
	var bytes int64
	for _, m := range in.models {
		bytes += m.Size()
	}
	what := fmt.Sprintf("%d models (%s)", len(in.models), formatSize(bytes))
	if len(in.models) == 1 {
		what = fmt.Sprintf("%s (%s)", in.models[0].Report().Summary(), formatSize(bytes))
	}
	if n := len(in.broken); n > 0 {
		what += fmt.Sprintf(" and %d broken, see %s", n, filepath.Join(mountpoint, "*.INVALID"))
	}
	return fmt.Sprintf("mounted %s: %s; unmount with: lorafs umount %s", mountpoint, what, diagnose.Quote(mountpoint))
}
