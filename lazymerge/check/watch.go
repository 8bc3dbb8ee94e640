package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lorafs/lazymerge/diagnose"
	"lorafs/lazymerge/modeldir"
)

// Watcher validates what a training run saves in its output directory. It polls, since
// network file systems tell of no changes.
//
// A save is looked at once it is done: when transformers' Trainer has written
// trainer_state.json, which it does last; when a later checkpoint is there; or when
// nothing in it has changed for Settle. A save without any adapter so far is waited for,
// however long the state before it takes to be gathered. What is found broken must be the
// same at the next poll, too: it may be a save that is being removed.
//
// The zero value with Dir set is ready. It is not for concurrent use.
type Watcher struct {
	Dir    string
	Settle time.Duration
	Options

	finishing bool // what is whole is judged now
	judged    int
	saves     map[string]*save
	linted    map[string]bool // directories whose settings were looked at
}

// save is one thing that the run has saved, by its name in the output directory.
type save struct {
	marks   string    // of its files when it was last seen
	since   time.Time // it has had them
	suspect marks     // with which it was found broken
	judged  bool
	last    string // marks of the adapter's files when it was judged
}

// Poll looks at the directory, which need not exist yet, and gives the results of the
// saves that are new and done, oldest first. Error: ctx's.
func (w *Watcher) Poll(ctx context.Context, now time.Time) ([]diagnose.Result, error) {
	if w.saves == nil {
		w.saves, w.linted = make(map[string]*save), make(map[string]bool)
	}
	names := modeldir.Written(w.Dir)
	for name := range w.saves {
		if !slices.Contains(names, name) {
			delete(w.saves, name)
		}
	}
	all, err := w.settings(ctx, names)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		later := i+1 < len(names) && modeldir.IsCheckpoint(names[i+1]) && path.Dir(names[i+1]) == path.Dir(name)
		results, err := w.visit(ctx, name, later, now)
		if err != nil {
			return all, err
		}
		all = append(all, results...)
	}
	return all, nil
}

// settings gives what is wrong with the settings of the run and of those below it, once
// for each, when its directory is there.
func (w *Watcher) settings(ctx context.Context, names []string) ([]diagnose.Result, error) {
	if _, err := os.Stat(w.Dir); err != nil {
		return nil, nil
	}
	f := newFinder(w.Options)
	var fresh []string
	for _, name := range append([]string{"."}, names...) {
		dir := filepath.Join(w.Dir, path.Dir(name))
		if !w.linted[dir] && !slices.Contains(fresh, dir) {
			fresh = append(fresh, dir)
			f.addRisks(dir)
		}
	}
	r, err := f.run(ctx)
	if err != nil {
		return nil, err
	}
	for _, dir := range fresh {
		w.linted[dir] = true
	}
	return r.Results, nil
}

// Finish looks once more when the watch ends: it judges the saves that are not judged yet
// without waiting any longer, except those that may still be being written. They stay
// Pending. Error: ctx's.
func (w *Watcher) Finish(ctx context.Context, now time.Time) ([]diagnose.Result, error) {
	w.finishing = true
	defer func() { w.finishing = false }()
	return w.Poll(ctx, now)
}

// Judged counts the saves that were judged.
func (w *Watcher) Judged() int { return w.judged }

// Pending lists the saves that were seen and not judged yet.
func (w *Watcher) Pending() []string {
	var names []string
	for name, s := range w.saves {
		if !s.judged {
			names = append(names, filepath.Join(w.Dir, name))
		}
	}
	slices.Sort(names)
	return names
}

// visit judges one save if the time has come.
func (w *Watcher) visit(ctx context.Context, name string, later bool, now time.Time) ([]diagnose.Result, error) {
	s := w.saves[name]
	if s == nil {
		s = &save{}
		w.saves[name] = s
	}
	seen := w.look(name)
	if s.marks != seen.all || s.since.IsZero() {
		s.marks, s.since = seen.all, now
	}
	due := w.due(name, s, seen, later, now)
	if !due && !(w.finishing && w.fresh(name, s, seen) && seen.adapter != "") {
		return nil, nil
	}
	results, err := w.judge(ctx, name)
	if err != nil {
		return nil, err
	}
	if w.look(name) != seen {
		return nil, nil // it changed while it was read
	}
	switch {
	case !anyBroken(results):
	case w.finishing && !due && mayGrow(results):
		return nil, nil
	case !w.finishing && s.suspect != seen:
		s.suspect = seen
		return nil, nil
	}
	s.judged, s.last = true, seen.adapter
	w.judged++
	return results, nil
}

// fresh tells whether a save is to be judged at all. A checkpoint is judged once; what
// else the run saves may be written anew.
func (w *Watcher) fresh(name string, s *save, seen marks) bool {
	return !s.judged || !modeldir.IsCheckpoint(name) && seen.adapter != s.last && seen.adapter != ""
}

// due tells whether a save is to be judged now.
func (w *Watcher) due(name string, s *save, seen marks, later bool, now time.Time) bool {
	checkpoint := modeldir.IsCheckpoint(name)
	switch {
	case !w.fresh(name, s, seen):
		return false
	case later, checkpoint && isWhole(filepath.Join(w.Dir, name, "trainer_state.json")):
		return true
	}
	return seen.adapter != "" && now.Sub(s.since) >= w.Settle
}

func anyBroken(results []diagnose.Result) bool {
	return slices.ContainsFunc(results, func(r diagnose.Result) bool { return r.Verdict == diagnose.VerdictBroken })
}

// partCodes are the findings that a sound save may have while it is being written.
var partCodes = []string{
	"checkpoint-no-adapter", "config-broken", "config-missing", "file-missing", "weights-header-past-end",
	"weights-missing", "weights-too-short", "weights-truncated", "weights-zero-bytes", "weights-zero-filled",
}

// mayGrow tells whether what is broken may become whole: only parts of it are missing.
func mayGrow(results []diagnose.Result) bool {
	for _, r := range results {
		for _, f := range r.Findings {
			if f.Severity == diagnose.Broken && !slices.Contains(partCodes, f.Code) {
				return false
			}
		}
	}
	return true
}

// judge checks one save.
func (w *Watcher) judge(ctx context.Context, name string) ([]diagnose.Result, error) {
	f := newFinder(w.Options)
	defer f.close()
	f.findBase(nil)
	f.findWritten(w.Dir, name)
	r, err := f.run(ctx)
	if err != nil {
		return nil, err
	}
	return r.Results, nil
}

// marks tell two states of a save apart.
type marks struct {
	all     string // names, sizes and times of its files
	adapter string // those of the adapter's files, "" without any
}

// markDepth is how deep a save is looked into: PEFT's and DeepSpeed's files lie at most
// two directories below it.
const markDepth = 3

// look gives the marks of a save. What cannot be seen has none. Of an output directory
// itself only the adapter's files count: logs grow beside them.
func (w *Watcher) look(name string) marks {
	root := filepath.Join(w.Dir, name)
	output := path.Base(name) == "."
	var all, adapter strings.Builder
	_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() {
			rel, _ := filepath.Rel(root, p)
			if p != root && (output || strings.Count(rel, string(filepath.Separator)) >= markDepth) {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := os.Stat(p) // of what a link leads to
		if err != nil || info.IsDir() {
			return nil
		}
		line := fmt.Sprintf("%s %d %d\n", p, info.Size(), info.ModTime().UnixNano())
		if p == root || slices.Contains(modeldir.AdapterFiles(), d.Name()) {
			adapter.WriteString(line)
		}
		if !output {
			all.WriteString(line)
		}
		return nil
	})
	return marks{all: all.String() + adapter.String(), adapter: adapter.String()}
}

// isWhole tells whether a small JSON file was written to its end.
func isWhole(path string) bool {
	b, err := os.ReadFile(path)
	return err == nil && json.Valid(b)
}
