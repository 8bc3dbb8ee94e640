package lazymerge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// output is one tensor of the merged model.
type output struct {
	slot
	info  safetensors.Info // as the view shows it
	added bool             // the base has no such tensor
	edits []placedEdit
	chain []boundEdit // edits that compute, in order of application

	root   *output // of a tied module without a tensor on disk: the tensor it shares
	placed bool    // such an output is part of the view
}

type placedEdit struct {
	transform.Edit
	order   int // place in the recipe
	how     string
	part    part
	segment segment
	turned  bool         // the tensor is the transpose of the parameter
	plane   int64        // 1 + index of a matrix along the tensor's first dimension; 0: the tensor
	terms   []placedEdit // of an edit that several of a stack make
}

// boundEdit is a transform fitted to its tensor.
type boundEdit struct {
	placedEdit
	bound transform.Bound
	pack  func(ctx context.Context, dst []byte) error // bound.Pack, made once: a method value allocates
	once  *once                                       // of a Preparer, else nil

	first, count int64 // the rows that it changes; none: all

	beside *safetensors.Tensor // of a Neighbour: what it reads as well
}

func (e placedEdit) bind(p transform.Param, r transform.Rounding) (boundEdit, error) {
	bound, err := e.fit(p, r)
	if err != nil {
		return boundEdit{}, err
	}
	be := boundEdit{placedEdit: e, bound: bound, pack: bound.Pack, beside: p.Beside.Tensor}
	if _, ok := bound.(transform.Preparer); ok {
		be.once = newOnce()
	}
	if b, ok := bound.(partBound); ok {
		be.first, be.count = b.first, b.count
	}
	return be, nil
}

// turns tells whether a transform takes a transposed weight.
func turns(t transform.Transform) bool {
	switch t.(type) {
	case transform.LowRank, transform.Factors, transform.Addition, transform.Combination, transform.Total:
		return true
	}
	return false
}

func (e placedEdit) fit(p transform.Param, r transform.Rounding) (transform.Bound, error) {
	if e.turned && !turns(e.Transform) {
		return nil, &transform.LayerError{Tensor: p.Name, Transform: e.Transform.Describe().Type + " of a weight that is stored as its transpose", Layer: transform.Linear}
	}
	switch {
	case e.plane > 0:
		return bindPlane(e.plane-1, e.Transform, p, r)
	case e.part.some():
		return e.part.bind(e.Transform, p, r)
	case e.segment.some():
		return e.segment.bind(e.Transform, p, r)
	}
	return e.Transform.Bind(p, r)
}

func (o *output) edited() bool { return len(o.edits) > 0 }

// touched says whether the view's bytes differ from the base's for this slot.
func (o *output) touched() bool {
	return o.added || o.edited() || o.info.Name != o.from.Name
}

func (o *output) add(e placedEdit) {
	o.edits = append(o.edits, e)
	sort.SliceStable(o.edits, func(i, j int) bool { return o.edits[i].order < o.edits[j].order })
}

// planner decides where each edit of a recipe goes in one component.
type planner struct {
	base   *Base
	c      *component
	recipe *transform.Recipe
	opt    Options

	names   *resolve.Index
	outputs []*output
	byName  map[string]*output

	matched   map[taking]string       // module that claimed a tensor
	runs      map[taking][]claimedRun // of matrices on disk, by modules that claimed parts of them
	squares   []stackEdit             // stacks whose orientation the others decide
	votes     map[string]votes        // of the stacks of modules by the last component of their names
	unmatched []Unmatched
	warnings  []transform.Warning
	notes     []string // deviations from PEFT's merge
	config    configEdits
}

// taking is a tensor that an adapter edits.
type taking struct {
	adapter int
	tensor  string
}

// newPlanner lays out the component's tensors, with layers replicated as the
// recipe asks.
func newPlanner(b *Base, c *component, r *transform.Recipe, opt Options) (*planner, error) {
	p := &planner{base: b, c: c, recipe: r, opt: opt, byName: make(map[string]*output), matched: make(map[taking]string), votes: make(map[string]votes), runs: make(map[taking][]claimedRun)}
	slots, names := c.slots, c.names
	if len(r.Replication) > 0 {
		copied, err := replicate(c.slots, r.Replication)
		if err != nil {
			return nil, &ReplicationError{Adapter: r.File, Reason: err.Error()}
		}
		slots = copied.slots
		names = func() *resolve.Index { return c.index(slots) }
		p.config.layers = copied.layers
		p.notes = append(p.notes, "deviation from PEFT: every replicated layer has its own delta, as in the un-merged model; PEFT's merge adds them all into the layer that they share")
	}
	p.names = names().For(r.AutoClass, r.TaskType)
	for _, s := range slots {
		info := s.from.Info
		info.Name = s.name
		p.append(&output{slot: s, info: info})
	}
	return p, nil
}

func (p *planner) append(o *output) *output {
	p.outputs = append(p.outputs, o)
	p.byName[o.name] = o
	return o
}

// place finds the tensor of every edit. What is found nowhere is left in
// p.unmatched.
func (p *planner) place() error {
	for i, e := range p.recipe.Edits {
		if err := p.placeOne(placedEdit{Edit: e, order: i}); err != nil {
			return err
		}
	}
	if err := p.placeSquares(); err != nil {
		return err
	}
	return p.placeEverywhere()
}

func (p *planner) placeOne(e placedEdit) error {
	if s, ok := e.Transform.(transform.Stack); ok {
		return p.placeStack(e, s)
	}
	m, err := p.find(&e)
	if err != nil {
		if ok, err := p.placeElsewhere(e, err); ok || err != nil {
			return err
		}
		return p.missing(e, err)
	}
	p.asParameter(&e, m.Name)
	e.how = m.How
	if err := p.claim(m, e); err != nil {
		return err
	}
	root := p.byName[m.Name]
	switch {
	case m.Tied && e.Scope == transform.Shared:
		return p.placeShared(root, m.Own, e)
	case m.Tied:
		p.ghost(m.Own, root).add(e)
	case e.Scope == transform.Shared:
		return p.placeShared(root, m.Name, e)
	default:
		root.add(e)
	}
	return nil
}

// find resolves the edit's parameter; a module that keeps its weight under another
// name (in_proj_weight) offers that as an alternative.
func (p *planner) find(e *placedEdit) (resolve.Match, error) {
	m, err := p.names.Find(e.Module, e.Param)
	for _, alt := range e.Alt {
		if err == nil {
			break
		}
		if found, altErr := p.names.Find(e.Module, alt); altErr == nil {
			m, err, e.Param = found, nil, alt
		}
	}
	if whole, share, ok := partOf(err); ok {
		m, err, e.part = whole, nil, share
	}
	return m, err
}

// unmatched is what to say of an edit that err found no tensor for. Any other error it
// gives back.
func (e placedEdit) unmatched(err error) (Unmatched, error) {
	u := Unmatched{Part: e.Part, Module: e.Module, Param: e.Param, Keys: e.Keys, adapter: e.Adapter}
	var ambiguous *resolve.AmbiguousError
	var notFound *resolve.NotFoundError
	switch {
	case errors.As(err, &ambiguous):
		u.Ambiguous = ambiguous.Candidates
	case errors.As(err, &notFound):
		u.Nearest = notFound.Nearest
	default:
		return u, err
	}
	return u, nil
}

// missing books an edit without a base tensor: as a new tensor where the edit may
// add one, else as unmatched.
func (p *planner) missing(e placedEdit, err error) error {
	u, err := e.unmatched(err)
	if err != nil {
		return err
	}
	if e.Optional && u.Ambiguous == nil {
		return nil
	}
	replace, ok := e.Transform.(transform.Replace)
	if e.Adds && ok && u.Ambiguous == nil && !p.misplaced(e) {
		p.addTensor(e, replace)
		return nil
	}
	p.unmatched = append(p.unmatched, u)
	return nil
}

// misplaced tells a parameter that is no new head: the base has modules of the name that
// the config lists, and none where this one stands.
func (p *planner) misplaced(e placedEdit) bool {
	head := p.headOf(e)
	if head == "" {
		return false
	}
	_, leaf := cutLast(head)
	elsewhere := false
	for _, o := range p.outputs {
		if o.added || !strings.Contains(o.name, leaf) {
			continue
		}
		for at, _ := cutLast(o.name); at != ""; at, _ = cutLast(at) {
			if _, last := cutLast(at); last != leaf {
				continue
			}
			if p.samePlace(at, head) || p.samePlace(head, at) {
				return false
			}
			elsewhere = true
		}
	}
	return elsewhere
}

// samePlace tells whether long is short below what a class may have its model under.
func (p *planner) samePlace(long, short string) bool {
	front, ok := strings.CutSuffix("."+long, "."+short)
	for part := range strings.SplitSeq(strings.TrimPrefix(front, "."), ".") {
		ok = ok && (part == "" || p.names.Root(part))
	}
	return ok
}

// headOf is the module that the config lists as trained whole, in which the parameter is;
// "" where none is listed.
func (p *planner) headOf(e placedEdit) string {
	t := p.opt.stack.recipes(p.recipe)[e.Adapter].Trained
	if t == nil || t.Saved == nil {
		return ""
	}
	head := ""
	for at := e.Module; at != "" && t.Saved(at); at, _ = cutLast(at) {
		head = at
	}
	return head
}

func (p *planner) addTensor(e placedEdit, r transform.Replace) {
	name := p.names.NewName(e.Module, e.Param)
	e.how = "added"
	if o := p.byName[name]; o != nil && o.added && o.root == nil {
		o.add(e) // by another adapter of the stack
		return
	}
	info := safetensors.Info{Name: name, DType: p.dtype(), Shape: r.Value.Shape}
	if !floating(r.Value.DType) {
		info.DType = r.Value.DType // a counter of batches is no weight
	}
	shard := len(p.c.shards) - 1
	o := p.append(&output{slot: slot{name: name, shard: shard, from: r.Value}, info: info, added: true})
	o.add(e)
}

// dtype is the component's weights' dtype: that of most of its bytes.
func (p *planner) dtype() safetensors.DType {
	var bytes [safetensors.U64 + 1]int64
	best := safetensors.F32
	for _, s := range p.c.slots {
		switch d := s.from.DType; d {
		case safetensors.F16, safetensors.BF16, safetensors.F32, safetensors.F64:
			n, err := s.from.Bytes()
			if err != nil {
				continue
			}
			if bytes[d] += n; bytes[d] > bytes[best] {
				best = d
			}
		}
	}
	return best
}

// claim refuses a second module that means the same tensor: two names of one
// module would be merged twice.
func (p *planner) claim(m resolve.Match, e placedEdit) error {
	key := m.Name
	if m.Tied {
		key = m.Own
	}
	if e.part.some() {
		key = fmt.Sprintf("%s, part %d of %d", m.Name, e.part.index+1, e.part.of)
	}
	tensor := taking{e.Adapter, key}
	other, taken := p.matched[tensor]
	if runs := p.runs[taking{e.Adapter, m.Name}]; len(runs) > 0 && !taken {
		other, taken = runs[0].module, true
	}
	if taken && other != e.Module {
		return p.of(e.Adapter, &CollisionError{Adapter: p.file(e.Adapter), Tensor: key, Modules: [2]string{other, e.Module}})
	}
	p.matched[tensor] = e.Module
	return nil
}

// bind fits every edit to its tensor.
func (p *planner) bind() error {
	if err := p.join(); err != nil {
		return err
	}
	for _, o := range p.outputs {
		if err := p.bindOutput(o); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) bindOutput(o *output) error {
	if err := p.checkReplacements(o); err != nil {
		return err
	}
	var edits []placedEdit // those that compute
	for _, e := range o.edits {
		if r, ok := e.Transform.(transform.Replace); ok && !e.part.some() && !e.segment.some() {
			if err := p.bindReplace(o, e, r); err != nil {
				return err
			}
			edits = nil
			continue
		}
		edits = append(edits, e)
	}
	chain, err := p.bindEdits(o, edits, p.opt.Rounding, p.opt.AllowNonFinite)
	o.chain = chain
	return err
}

// bindEdits fits edits to their tensor, those of a stack together.
func (p *planner) bindEdits(o *output, edits []placedEdit, r transform.Rounding, overflow bool) ([]boundEdit, error) {
	edits, err := p.combine(o, edits)
	if err != nil {
		return nil, err
	}
	var chain []boundEdit
	for _, e := range p.onWhole(o, edits, r) {
		be, err := e.bind(p.param(o, e, overflow), r)
		if err != nil {
			return nil, p.editError(o, e, err)
		}
		if len(chain) > 0 && (chain[0].plane > 0) != (be.plane > 0) {
			return nil, p.editError(o, e, &transform.LayerError{Tensor: o.name, Transform: "an edit of the whole beside those of single experts", Layer: transform.Parameter})
		}
		chain = append(chain, be)
	}
	return p.addUp(o, chain, r, overflow)
}

// param describes the tensor that an edit is fitted to.
func (p *planner) param(o *output, e placedEdit, allowNonFinite bool) transform.Param {
	conv1D := e.turned || p.names.Conv1D(e.Module)
	return transform.Param{
		Info: o.info, Conv1D: conv1D, Straight: p.recipe.ByPart && !conv1D,
		AllowNonFinite: allowNonFinite, Beside: p.beside(e),
	}
}

// beside is the other parameter of the module that an edit reads: none where it has no
// tensor, which Bind then says.
func (p *planner) beside(e placedEdit) transform.Rows {
	n, ok := e.Transform.(transform.Neighbour)
	if !ok || n.Beside() == "" {
		return transform.Rows{}
	}
	other := placedEdit{Edit: transform.Edit{Module: e.Module, Param: n.Beside()}}
	m, err := p.find(&other)
	o := p.byName[m.Name]
	if err != nil || o == nil || len(o.info.Shape) == 0 {
		return transform.Rows{}
	}
	rows := transform.Rows{Tensor: o.from, Count: o.info.Shape[0]}
	for _, x := range o.edits {
		if r, ok := x.Transform.(transform.Replace); ok && len(r.Value.Shape) > 0 {
			rows.Tensor, rows.Count = r.Value, r.Value.Shape[0]
		}
	}
	if other.part.some() {
		rows.First, rows.Count = other.part.rows(rows.Count)
	}
	return rows
}

// bindReplace makes the adapter's tensor the source. Only the number of rows may
// change (a resized vocabulary, another number of labels).
func (p *planner) bindReplace(o *output, e placedEdit, r transform.Replace) error {
	if e.turned {
		_, err := e.fit(transform.Param{Info: o.info}, transform.PEFT)
		return p.editError(o, e, err)
	}
	got, want := r.Value.Shape, o.info.Shape
	misfit := func() error {
		return p.editError(o, e, &transform.ShapeError{Tensor: o.name, Want: want, Got: got})
	}
	if p.recipe.ByPart && !slices.Equal(got, want) || !o.added && (len(got) != len(want) || len(got) > 0 && !slices.Equal(got[1:], want[1:])) {
		return misfit()
	}
	if !floating(o.info.DType) || !floating(r.Value.DType) {
		if o.info.DType != r.Value.DType {
			return p.editError(o, e, &transform.DTypeError{Tensor: o.name, DType: o.info.DType})
		}
	}
	if len(got) > 0 && len(want) > 0 && got[0] != want[0] && !p.resize(o, got[0]) {
		return misfit()
	}
	o.from, o.info.Shape, o.chain = r.Value, got, nil
	return nil
}

func floating(d safetensors.DType) bool {
	switch d {
	case safetensors.F16, safetensors.BF16, safetensors.F32, safetensors.F64:
		return true
	}
	return false
}

func (p *planner) editError(o *output, e placedEdit, err error) error {
	var dtype *transform.DTypeError
	method := p.c.quantization()
	if errors.As(err, &dtype) && (dtype.Tensor == o.info.Name || dtype.Tensor == "") || method != "" {
		if method == "" {
			method = "dtype " + o.info.DType.String()
		}
		return &QuantizedError{Base: p.base.Ref(), Method: method, Tensor: o.name}
	}
	if e.terms != nil {
		return &EditError{Adapter: p.opt.stack.ref, Base: p.base.Ref(), Tensor: o.name, Keys: e.Keys, Err: err}
	}
	return p.of(e.Adapter, &EditError{Adapter: p.file(e.Adapter), Base: p.base.Ref(), Tensor: o.name, Keys: e.Keys, Err: err})
}

// settle turns what found no tensor into an error, or a warning where the caller
// allows it. places tells whether anything of an adapter has its place in the base.
func (p *planner) settle(places func(adapter int) bool) error {
	if len(p.unmatched) == 0 {
		return nil
	}
	if p.recipe.ByPart {
		p.noteLacks()
	}
	for i, unmatched := range byAdapter(p.unmatched) {
		err := &UnmatchedError{Adapter: p.file(i), Base: p.base.Ref(), Tensors: unmatched, All: !places(i)}
		if len(unmatched) > 0 && (!p.opt.AllowUnused || err.All) {
			return p.of(i, err)
		}
		if len(unmatched) > 0 {
			p.warnings = append(p.warnings, transform.Warnf(transform.Unmatched, first(unmatched[0].Keys), "left out: %v", err))
		}
	}
	return nil
}

// noteLacks finds the modules whose component the base does not have. What looks like
// them in another component is of no use.
func (p *planner) noteLacks() {
	index := p.base.diffusion()
	for i := range p.unmatched {
		if u := &p.unmatched[i]; index.Lacks(u.Part) {
			u.Lacks, u.Nearest = true, nil
		}
	}
}

// places tells whether anything of an adapter has its place in the component.
func (p *planner) places(adapter int) bool {
	return slices.ContainsFunc(p.outputs, func(o *output) bool {
		return slices.ContainsFunc(o.edits, func(e placedEdit) bool { return e.Adapter == adapter })
	})
}

// byAdapter parts what was not found by the adapters of a stack.
func byAdapter(all []Unmatched) [][]Unmatched {
	var parts [][]Unmatched
	for _, u := range all {
		for len(parts) <= u.adapter {
			parts = append(parts, nil)
		}
		parts[u.adapter] = append(parts[u.adapter], u)
	}
	return parts
}

// makePlan plans the recipe: where its edits do not name their components, for the one
// that all of them fit.
func makePlan(b *Base, r *transform.Recipe, opt Options) ([]*planner, error) {
	if r.ByPart {
		return planParts(b, r, opt)
	}
	var fits []*planner
	var best *planner
	for _, c := range b.components {
		p, err := newPlanner(b, c, r, opt)
		if err != nil {
			return nil, err
		}
		if err := p.place(); err != nil {
			return nil, err
		}
		if len(p.unmatched) == 0 {
			fits = append(fits, p)
		}
		if best == nil || len(p.unmatched) < len(best.unmatched) {
			best = p
		}
	}
	if len(fits) > 1 {
		return planByShape(b, fits)
	}
	return []*planner{best}, best.plan()
}

// planByShape takes the only component that the edits fit by their shapes, too: the text
// encoders of a pipeline have the same names.
func planByShape(b *Base, fits []*planner) ([]*planner, error) {
	var fit []*planner
	for _, p := range fits {
		if p.plan() == nil {
			fit = append(fit, p)
		}
	}
	if len(fit) != 1 {
		return nil, &PartError{Base: b.Ref(), Parts: [2]string{fits[0].c.dir.Dir, fits[1].c.dir.Dir}}
	}
	return fit, nil
}

// plan completes the plan of a placed recipe.
func (p *planner) plan() error {
	if err := p.settle(p.places); err != nil {
		return err
	}
	lost := p.checkLost()
	if err := p.finish(); err != nil {
		return err
	}
	return lost
}

func (p *planner) finish() error {
	if err := p.untie(); err != nil {
		return err
	}
	p.renameForTask()
	if err := p.bind(); err != nil {
		return err
	}
	p.warnVocabularies()
	return nil
}

// forget drops what only planning needs: a library keeps hundreds of plans.
func (p *planner) forget() {
	for _, r := range p.opt.stack.recipes(p.recipe) {
		r.Trained = nil
	}
	p.byName, p.matched, p.unmatched, p.squares, p.runs, p.votes = nil, nil, nil, nil, nil, nil
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}
