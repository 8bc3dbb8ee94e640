package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"syscall"
	"time"

	"lorafs/fs"
	"lorafs/lazymerge"
	"lorafs/lazymerge/diagnose"
	"lorafs/lazymerge/modeldir"
)

// The time between two looks at a library, longer where a look takes long. What is new has
// to look the same twice, since it may be on its way, so that it shows after two of them.
const (
	lookEvery   = 500 * time.Millisecond
	lookAtLeast = 800 * time.Millisecond
	lookShare   = 20 // a look takes at most this part of the time
)

// live keeps a mounted library as its adapters are on disk. It looks at the directories
// again and again, since network file systems tell of no changes.
type live struct {
	in     *inputs
	server *fs.Server
	merge  lazymerge.Options
	log    *slog.Logger

	adapters map[string]*exhibit // by the name in the tree
	told     map[string]string   // what was said of a source or a name last, so that it is said once
	cancel   context.CancelFunc
	done     chan struct{}
}

// exhibit is an adapter of the tree, or one that may become one.
type exhibit struct {
	source int              // which of the sources it is of
	place  string           // what it is there
	shown  string           // marks of its files that the tree shows, "" for none
	seen   string           // those of the last look
	model  *lazymerge.Model // nil while it is broken
	retry  time.Time        // when to open it again, if the system was what failed
}

// follow keeps a mounted library as its sources are until stop; a single model stays what
// it is.
func follow(in *inputs, server *fs.Server, merge lazymerge.Options, log *slog.Logger) *live {
	merge.Cache = in.cache
	l := &live{
		in: in, server: server, merge: merge, log: log,
		adapters: make(map[string]*exhibit), told: make(map[string]string), done: make(chan struct{}),
	}
	for _, a := range in.library.Adapters {
		l.adapters[a.Name] = &exhibit{source: a.Source, place: a.Place, shown: a.Marks, seen: a.Marks}
	}
	for _, m := range in.models {
		l.adapters[m.Name()].model = m
	}
	for _, b := range in.broken {
		l.adapters[b.name].retry = retryTime(b.err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	if in.library.Single {
		close(l.done)
		return l
	}
	go l.run(ctx)
	return l
}

// stop ends the looking, and closes what was opened by it, after the tree is unmounted. A
// file system that hangs is not waited for.
func (l *live) stop() error {
	l.cancel()
	select {
	case <-l.done:
	case <-time.After(closeTimeout):
		l.log.Warn("a look at the adapters does not end", "after", closeTimeout)
		return nil
	}
	var err error
	for _, e := range l.adapters {
		if e.model != nil {
			closeInto(&err, e.model.Close)
		}
	}
	return err
}

func (l *live) run(ctx context.Context) {
	defer close(l.done)
	pause := lookEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		start := time.Now()
		found, unread := l.find()
		pause = min(max(lookShare*time.Since(start), lookEvery), lookAtLeast)
		l.compare(ctx, found, unread)
	}
}

// compare shows what differs from the tree and is the same as at the last look. What is of
// a source that could not be read stays.
func (l *live) compare(ctx context.Context, found map[string]modeldir.Adapter, unread map[int]bool) {
	for _, name := range slices.Sorted(maps.Keys(l.adapters)) {
		e, now := l.adapters[name], found[name]
		settled := now.Marks == e.seen
		switch {
		case ctx.Err() != nil:
			return
		case unread[e.source]:
			continue
		case now.Marks == e.shown && now.Marks == "": // it came and went
			delete(l.adapters, name)
		case now.Marks != e.shown && settled, !e.retry.IsZero() && time.Now().After(e.retry):
			l.show(ctx, name, e, now)
		}
		e.seen = now.Marks
	}
}

// find gives the adapters of all sources by name, and the sources that could not be read.
func (l *live) find() (found map[string]modeldir.Adapter, unread map[int]bool) {
	found, unread = make(map[string]modeldir.Adapter), make(map[int]bool)
	for i, source := range l.in.library.Sources {
		adapters, err := source.Look()
		l.tell("source", source.String(), err)
		unread[i] = err != nil
		for _, a := range adapters {
			if l.adapters[a.Name] == nil {
				l.adapters[a.Name] = &exhibit{source: i, place: a.Place}
			}
			l.choose(found, i, a)
		}
	}
	return found, unread
}

// choose takes an adapter of a source as found. Of two of one name the one that the tree
// shows stays.
func (l *live) choose(found map[string]modeldir.Adapter, source int, a modeldir.Adapter) {
	e := l.adapters[a.Name]
	other, twice := found[a.Name]
	if e.source == source && (!twice || a.Place == e.place) {
		found[a.Name] = a
		a, other = other, a
	}
	switch {
	case e.source != source:
		l.collide(a, l.in.library.Sources[e.source].String())
	case twice:
		l.collide(a, other.Ref)
	}
}

func (l *live) collide(a modeldir.Adapter, shown string) {
	l.tell("name", a.Ref, &modeldir.NameCollisionError{Name: a.Name, Refs: [2]string{shown, a.Ref}})
}

// tell logs an error about something once, until it is another.
func (l *live) tell(what, about string, err error) {
	key := what + " " + about
	switch {
	case err == nil:
		delete(l.told, key)
	case l.told[key] != err.Error():
		l.told[key] = err.Error()
		l.log.Warn("not as it is on disk", what, about, "error", err)
	}
}

// show brings the tree to what is on disk of an adapter. The old model is closed; files of
// it that are open keep their bytes.
func (l *live) show(ctx context.Context, name string, e *exhibit, now modeldir.Adapter) {
	var model *lazymerge.Model
	var err error
	if now.Marks == "" {
		err = l.server.Remove(name)
		delete(l.adapters, name)
		l.log.Info("removed", "adapter", name)
	} else if model, err = l.open(ctx, e, now); ctx.Err() != nil {
		return
	}
	if e.model != nil {
		closeInto(&err, e.model.Close)
	}
	l.tell("adapter", name, err)
	e.model, e.shown, e.place = model, now.Marks, now.Place
}

const retryAfter = 10 * time.Second

// retryTime is when to open an adapter again that could not be for want of descriptors or
// memory, or because a disk or a network failed; else zero.
func retryTime(err error) time.Time {
	var code syscall.Errno
	if errors.As(err, &code) && code != syscall.ENOENT {
		return time.Now().Add(retryAfter)
	}
	return time.Time{}
}

// open shows an adapter, or that it is broken. The error is of the tree.
func (l *live) open(ctx context.Context, e *exhibit, a modeldir.Adapter) (*lazymerge.Model, error) {
	m, err := lazymerge.Open(ctx, l.in.base, a, l.merge)
	switch {
	case ctx.Err() != nil:
		if err == nil {
			err = m.Close()
		}
		return nil, err
	case err != nil:
		e.retry = retryTime(err)
		l.tell("broken", a.Name, err)
		return nil, l.server.AddInvalid(newBroken(a, err).invalid())
	}
	for _, f := range diagnose.Warnings(m.Report().File, m.Report().Warnings) {
		l.log.Warn(f.Message, "adapter", a.Name, "code", f.Code)
	}
	e.retry = time.Time{}
	if err := l.server.Replace(m); err != nil {
		closeInto(&err, m.Close)
		return nil, err
	}
	l.tell("broken", a.Name, nil)
	l.log.Info("shown", "adapter", a.Name, "type", m.Report().Summary())
	return m, nil
}
