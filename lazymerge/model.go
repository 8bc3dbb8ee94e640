package lazymerge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"lorafs/cache"
	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// Options say how a Model is merged.
type Options struct {
	Rounding       transform.Rounding
	AllowUnused    bool                  // adapter tensors that match nothing are left out, with a warning
	AllowMissing   bool                  // modules that the adapter has lost count as untrained, with a warning
	AllowNonFinite bool                  // NaN, Inf and overflow are passed on
	Experts        transform.ExpertOrder // of lora_B's columns, in place of what the adapter says
	Cache          *cache.Cache[Key]
	Workers        Workers // nil: no bound
	// Sequential merges a stack one adapter after another, each with its own rounding.
	// Otherwise what the adapters add is added up and rounded once.
	Sequential bool
	Combine    *Combine // nil: what the adapters of a stack add is added

	stack *stack // the adapter is several
}

// Entry is one file of a Model.
type Entry struct {
	Path    string // slash-separated, relative to the model's directory
	Size    int64
	ModTime time.Time
	Host    string // the file on disk when the view shows it as it is, else ""
	Hidden  bool   // under .lorafs/
}

// Model is a base with an adapter applied, as a directory of files.
type Model struct {
	name    string
	id      uint64
	base    *Base
	recipe  *transform.Recipe
	entries []Entry
	files   map[string]*virtual
	report  *Report
	plans   []*planner // one for each component that changes
	opt     Options
	scratch atomic.Int32 // numbers tensors outside the plan
	refs    atomic.Int64
	closed  atomic.Bool
}

// virtual is a file without a file on disk.
type virtual struct {
	size    int64
	extents []extent
}

var modelIDs atomic.Uint64

// Open plans the merge of base and the adapter a. Everything is checked, nothing
// is computed. Errors: those of peft and single, *UnmatchedError, *CollisionError,
// *EditError, *QuantizedError, *ReplicationError; of a stack *modeldir.StackPartError
// around these, *StackConflictError, *CombineError.
func Open(ctx context.Context, base *Base, a modeldir.Adapter, opt Options) (m *Model, err error) {
	err = guard(func() error {
		m, err = openAdapter(ctx, base, a, opt)
		return err
	})
	return m, err
}

func openAdapter(ctx context.Context, base *Base, a modeldir.Adapter, opt Options) (*Model, error) {
	if a.Err != nil {
		return nil, fmt.Errorf("open adapter %q: %w", a.Ref, a.Err)
	}
	if a.Parts != nil {
		return openStack(ctx, base, a, opt)
	}
	recipe, err := openRecipe(a, opt, false)
	if err != nil {
		return nil, fmt.Errorf("open adapter %q: %w", a.Ref, err)
	}
	m, err := open(ctx, base, a, recipe, opt)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("merge adapter %q into base %q: %w", a.Ref, base.Ref(), err), closeRecipe(recipe))
	}
	return m, nil
}

func closeRecipe(r *transform.Recipe) error {
	if r.Close == nil {
		return nil
	}
	return r.Close()
}

func open(ctx context.Context, base *Base, a modeldir.Adapter, recipe *transform.Recipe, opt Options) (*Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	plans, err := makePlan(base, recipe, opt)
	if err != nil {
		return nil, err
	}
	m := &Model{name: a.Name, id: modelIDs.Add(1), base: base, recipe: recipe, files: make(map[string]*virtual), plans: plans, opt: opt}
	m.refs.Store(1)
	if err := m.build(ctx, a); err != nil {
		return nil, err
	}
	for _, p := range plans {
		p.forget()
	}
	base.retain()
	return m, nil
}

// build lays the plan out as files.
func (m *Model) build(ctx context.Context, a modeldir.Adapter) error {
	norms, err := measure(m.plans)
	if err != nil {
		return err
	}
	if err := m.checkRange(ctx, norms); err != nil {
		return err
	}
	view, err := overlay(m.base.dir, a)
	if err != nil {
		return err
	}
	newest := view.newest()
	for _, file := range m.opt.stack.files(m.recipe.File) {
		if st, err := os.Stat(file); err == nil && st.ModTime().After(newest) {
			newest = st.ModTime()
		}
	}
	next := int32(0)
	for _, p := range m.plans {
		if err := m.addWeights(p, view, newest, &next); err != nil {
			return err
		}
		if err := m.addConfig(p, view, newest); err != nil {
			return err
		}
	}
	m.report = newReport(m, a, norms, view.leftOut)
	for name, text := range map[string]func() ([]byte, error){"report.json": m.report.JSON, "report.txt": m.report.Text} {
		b, err := text()
		if err != nil {
			return err
		}
		m.addText(view, path.Join(".lorafs", name), b, newest)
	}
	for p, f := range view.files {
		m.entries = append(m.entries, Entry{Path: p, Size: f.Size, ModTime: f.ModTime, Host: f.Host, Hidden: strings.HasPrefix(p, ".lorafs/")})
	}
	sort.Slice(m.entries, func(i, j int) bool { return m.entries[i].Path < m.entries[j].Path })
	return nil
}

// addText puts a generated file into the view in place of one on disk.
func (m *Model) addText(view *view, p string, b []byte, when time.Time) {
	m.addVirtual(view, p, when, []extent{{end: int64(len(b)), source: literal(b)}})
}

func (m *Model) addVirtual(view *view, p string, when time.Time, extents []extent) {
	size := int64(0)
	if len(extents) > 0 {
		size = extents[len(extents)-1].end
	}
	m.files[p] = &virtual{size: size, extents: extents}
	view.files[p] = modeldir.File{Path: p, Size: size, ModTime: when}
}

// addWeights makes a virtual file of every shard that the plan changes; the others
// stay the base's files.
func (m *Model) addWeights(p *planner, view *view, when time.Time, next *int32) error {
	c := p.c
	shards := make([][]*output, len(c.shards))
	for _, o := range p.outputs {
		shards[o.shard] = append(shards[o.shard], o)
	}
	for i, outputs := range shards {
		if !changedShard(outputs, c.shards[i]) {
			continue
		}
		extents, err := m.layOut(outputs, c.shards[i].Header().Metadata, next)
		if err != nil {
			return fmt.Errorf("lay out %s: %w", c.dir.Shards[i].Name, err)
		}
		m.addVirtual(view, c.treePath(c.dir.Shards[i].Name), when, extents)
	}
	return m.addIndex(p, view, when)
}

func changedShard(outputs []*output, f *safetensors.File) bool {
	return len(outputs) != len(f.Tensors()) || slices.ContainsFunc(outputs, (*output).touched)
}

func (m *Model) layOut(outputs []*output, metadata map[string]string, next *int32) ([]extent, error) {
	infos := make([]safetensors.Info, len(outputs))
	for i, o := range outputs {
		infos[i] = o.info
	}
	layout, err := safetensors.Build(infos, metadata)
	if err != nil {
		return nil, err
	}
	extents := []extent{{end: int64(len(layout.Header)), source: literal(layout.Header)}}
	for i, o := range outputs {
		size, err := o.info.Bytes()
		if err != nil {
			return nil, err
		}
		if size == 0 {
			continue
		}
		var s source = verbatim{o.from}
		if len(o.chain) > 0 || o.from.DType != o.info.DType {
			s = newMerged(o, Key{Model: m.id, Tensor: *next}, m.opt)
			*next++
		}
		extents = append(extents, extent{layout.Offsets[i], layout.Offsets[i] + size, s})
	}
	return extents, nil
}

// addIndex rewrites the index of a sharded model when the plan changed what it says.
func (m *Model) addIndex(p *planner, view *view, when time.Time) error {
	c := p.c
	if c.dir.Index == nil {
		return nil
	}
	index := safetensors.Index{Metadata: c.dir.Index.Metadata, WeightMap: make(map[string]string)}
	var total, before int64
	for _, o := range p.outputs {
		n, err := o.info.Bytes()
		if err != nil {
			return err
		}
		total += n
		index.WeightMap[o.info.Name] = c.dir.Shards[o.shard].Name
	}
	for _, s := range c.slots {
		n, err := s.from.Bytes()
		if err != nil {
			return err
		}
		before += n
	}
	if total == before && !p.renamed() {
		return nil
	}
	index.Metadata = totals(index.Metadata, total, p.elements())
	b, err := index.Encode()
	if err != nil {
		return err
	}
	m.addText(view, c.dir.IndexPath, b, when)
	return nil
}

// totals is the index metadata with its sums corrected; transformers writes
// total_parameters beside total_size.
func totals(old map[string]json.RawMessage, bytes, elements int64) map[string]json.RawMessage {
	out := maps.Clone(old)
	if out == nil {
		out = make(map[string]json.RawMessage)
	}
	out["total_size"] = strconv.AppendInt(nil, bytes, 10)
	if _, ok := out["total_parameters"]; ok {
		out["total_parameters"] = strconv.AppendInt(nil, elements, 10)
	}
	return out
}

// renamed says whether the view's tensors have other names than the base's.
func (p *planner) renamed() bool {
	if len(p.outputs) != len(p.c.slots) {
		return true
	}
	return slices.ContainsFunc(p.outputs, func(o *output) bool { return o.added || o.info.Name != o.from.Name && o.root == nil && !o.edited() })
}

func (p *planner) elements() int64 {
	var total int64
	for _, o := range p.outputs {
		n, err := o.info.Elements()
		if err == nil {
			total += n
		}
	}
	return total
}

func (m *Model) addConfig(p *planner, view *view, when time.Time) error {
	c := p.c
	if !p.config.any() || len(c.dir.Config) == 0 {
		return nil
	}
	b, err := p.config.apply(c.dir.Config)
	if err != nil {
		return err
	}
	m.addText(view, c.dir.ConfigPath, b, when)
	return nil
}

// Name is the model's directory name in a tree of several.
func (m *Model) Name() string { return m.name }

// Entries lists the model's files, sorted by path. The caller must not change it.
func (m *Model) Entries() []Entry { return m.entries }

// Report says what the adapter changes.
func (m *Model) Report() *Report { return m.report }

// OpenFile opens the file at the path of an Entry. The File keeps the model's
// inputs mapped until it is closed. Errors: fs.ErrNotExist, ErrClosed,
// *InputChangedError when a file on disk is no longer the one that was listed.
func (m *Model) OpenFile(p string) (*File, error) {
	i, ok := slices.BinarySearchFunc(m.entries, p, func(e Entry, p string) int { return strings.Compare(e.Path, p) })
	if !ok {
		return nil, &os.PathError{Op: "open", Path: p, Err: os.ErrNotExist}
	}
	if !m.retain() {
		return nil, ErrClosed
	}
	e := m.entries[i]
	f := &File{model: m, path: p, size: e.Size}
	if v, ok := m.files[p]; ok {
		f.extents = v.extents
		return f, nil
	}
	host, err := openHost(e)
	if err != nil {
		return nil, errors.Join(err, m.release())
	}
	f.host = host
	return f, nil
}

func openHost(e Entry) (*os.File, error) {
	// What has taken the file's place may be a FIFO, which would hold up an open.
	f, err := os.OpenFile(e.Host, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && (!st.Mode().IsRegular() || st.Size() != e.Size || !st.ModTime().Equal(e.ModTime)) {
		err = &InputChangedError{Path: e.Host, Err: errors.New("size or modification time differs")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// retain takes a reference unless the last one is gone.
func (m *Model) retain() bool {
	for {
		n := m.refs.Load()
		if n == 0 {
			return false
		}
		if m.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Close releases the model. Files that are open keep their bytes; the inputs are
// unmapped when the last of them is closed.
func (m *Model) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	return m.release()
}

func (m *Model) release() error {
	if m.refs.Add(-1) != 0 {
		return nil
	}
	if c := m.opt.Cache; c != nil {
		c.Drop(func(k Key) bool { return k.Model == m.id })
	}
	return errors.Join(closeRecipe(m.recipe), m.base.release())
}
