package check

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"lorafs/lazymerge"
	"lorafs/lazymerge/diagnose"
)

// ValuesBudget is how many bytes of adapters' weights one Run reads unless it is Deep:
// beyond it, in the order of the paths, only configs and headers are read.
const ValuesBudget = 2 << 30

// Kinds of what is checked.
const (
	KindAdapter  = "adapter"
	KindBase     = "base"
	KindStack    = "stack"
	KindTraining = "training" // settings and state of a training run
	KindWeights  = "weights"  // one shard of a model
	KindOther    = "other"    // nothing that is known
)

// Options say how deep and against what to look.
type Options struct {
	// Base is a base model that all adapters are opened with, "" for none. A first path
	// of several that is a base model takes its place.
	Base  string
	Deep  bool              // read all values, of models too
	Merge lazymerge.Options // how adapters are opened with a base
}

// Report is the outcome of a Run.
type Report struct {
	Results []diagnose.Result // in the order of the paths
	Skipped int               // adapters of which only the headers were read
	Base    string            // that the adapters were opened with, "" for none
}

// Run checks what lies at the paths. What is wrong with them is in the results, never in
// the error, which is ctx's.
func Run(ctx context.Context, paths []string, o Options) (*Report, error) {
	f := newFinder(o)
	defer f.close()
	f.findBase(paths)
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f.find(p)
	}
	return f.run(ctx)
}

// run looks at all subjects that were found.
func (f *finder) run(ctx context.Context) (*Report, error) {
	r := &Report{Results: make([]diagnose.Result, len(f.subjects))}
	r.Skipped = f.spend()
	if f.base != nil {
		r.Base = f.base.Ref()
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.NumCPU(), len(f.subjects)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(f.subjects)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				r.Results[i] = f.subjects[i].result(ctx)
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return r, nil
}

// spend decides of which adapters the values are read, and counts the others.
func (f *finder) spend() (skipped int) {
	left := int64(ValuesBudget)
	for i := range f.subjects {
		s := &f.subjects[i]
		s.values = f.opt.Deep || f.base != nil || s.bytes <= left
		if s.bytes == 0 {
			continue
		}
		if s.values {
			left -= s.bytes
		} else {
			skipped++
		}
	}
	return skipped
}

// subject is one thing to look at.
type subject struct {
	path   string
	kind   string
	bytes  int64 // of an adapter's weights
	values bool  // they are read
	look   func(ctx context.Context, values bool) []diagnose.Finding
}

func (s subject) result(ctx context.Context) diagnose.Result {
	found := s.look(ctx, s.values)
	return diagnose.Result{Path: s.path, Kind: s.kind, Verdict: diagnose.Judge(found), Findings: found}
}

// broken is the subject of a path at which nothing can be opened.
func broken(path, kind string, err error) subject {
	return subject{path: path, kind: kind, look: func(context.Context, bool) []diagnose.Finding { return diagnose.Explain(err) }}
}

// as finds an error of a type in a chain.
func as[E error](err error) (e E, ok bool) {
	ok = errors.As(err, &e)
	return e, ok
}
