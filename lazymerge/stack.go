package lazymerge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/transform"
)

// A stack is several adapters on one base. Their edits are one recipe, in the order in
// which the adapters are written.

// stack is the adapters of a recipe. A nil stack is one adapter.
type stack struct {
	ref   string
	parts []stackPart
}

type stackPart struct {
	name   string
	note   string
	weight float64
	recipe *transform.Recipe
}

// recipes are those of the parts, or the one recipe.
func (s *stack) recipes(one *transform.Recipe) []*transform.Recipe {
	if s == nil {
		return []*transform.Recipe{one}
	}
	var all []*transform.Recipe
	for _, p := range s.parts {
		all = append(all, p.recipe)
	}
	return all
}

// files are the weights of the adapters.
func (s *stack) files(one string) []string {
	if s == nil {
		return []string{one}
	}
	var all []string
	for _, p := range s.parts {
		all = append(all, p.recipe.File)
	}
	return all
}

// file is the weights of the i-th adapter.
func (p *planner) file(i int) string { return p.opt.stack.files(p.recipe.File)[i] }

// of says of which adapter of a stack an error is.
func (p *planner) of(i int, err error) error {
	if s := p.opt.stack; s != nil {
		return &modeldir.StackPartError{Ref: s.ref, Part: s.parts[i].name, Err: err}
	}
	return err
}

// StackConflictError says that two adapters of a stack cannot be merged together.
type StackConflictError struct {
	Ref      string
	Adapters [2]string
	Tensor   string // "" when the conflict is not about one
	Reason   string
}

func (e *StackConflictError) Error() string {
	where := ""
	if e.Tensor != "" {
		where = " on tensor " + e.Tensor
	}
	return fmt.Sprintf("stack %s: adapters %s and %s disagree%s: %s", e.Ref, e.Adapters[0], e.Adapters[1], where, e.Reason)
}

func openStack(ctx context.Context, base *Base, a modeldir.Adapter, opt Options) (*Model, error) {
	s, closers, err := readStack(a, opt)
	if err != nil {
		return nil, errors.Join(err, closeAll(closers))
	}
	recipe, err := s.join(base, opt)
	if err != nil {
		return nil, errors.Join(err, closeAll(closers))
	}
	recipe.Close = func() error { return closeAll(closers) }
	if !opt.Sequential && opt.Combine == nil {
		opt.Rounding = transform.Once
	}
	opt.stack = s
	m, err := open(ctx, base, a, recipe, opt)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("merge %q into base %q: %w", a.Ref, base.Ref(), err), closeRecipe(recipe))
	}
	return m, nil
}

func closeAll(closers []func() error) error {
	var errs []error
	for _, c := range closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// readStack opens every adapter once, however often it is in the stack.
func readStack(a modeldir.Adapter, opt Options) (*stack, []func() error, error) {
	s := &stack{ref: a.Ref}
	var closers []func() error
	opened := make(map[string]*transform.Recipe)
	for _, p := range a.Parts {
		recipe := opened[p.Ref]
		if recipe == nil {
			var err error
			if recipe, err = openRecipe(p.Adapter, opt, false); err != nil {
				return nil, closers, &modeldir.StackPartError{Ref: a.Ref, Part: p.Ref, Err: err}
			}
			opened[p.Ref] = recipe
			closers = append(closers, func() error { return closeRecipe(recipe) })
		}
		s.parts = append(s.parts, stackPart{name: p.Ref, note: p.Note, weight: p.Weight, recipe: recipe})
	}
	return s, closers, nil
}

// leaveCopies leaves out what an adapter has stored of the base as it is: PEFT saves an
// embedding whole beside what it trained of it. In a stack the copy would replace what
// other adapters add.
func (s *stack) leaveCopies(base *Base) error {
	for _, p := range s.parts {
		if p.recipe.ByPart {
			continue
		}
		var kept []transform.Edit
		for _, e := range p.recipe.Edits {
			same, err := base.holds(e)
			if err != nil {
				return err
			}
			if !same {
				kept = append(kept, e)
				continue
			}
			p.recipe.Notes = append(p.recipe.Notes, e.Module+"."+e.Param+" is a copy of the base's and is left out")
		}
		p.recipe.Edits = kept
	}
	return nil
}

// holds tells whether an edit puts in place what is there.
func (b *Base) holds(e transform.Edit) (bool, error) {
	r, ok := e.Transform.(transform.Replace)
	if !ok {
		return false, nil
	}
	for _, c := range b.components {
		m, err := c.names().Find(e.Module, e.Param)
		i := slices.IndexFunc(c.slots, func(s slot) bool { return s.name == m.Name })
		if err != nil || i < 0 {
			continue
		}
		if same, err := sameShaped(transform.Replace{Value: c.slots[i].from}, r); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// join makes one recipe of all. Errors: *StackConflictError, *modeldir.StackPartError
// around an *EditError, *CombineError.
func (s *stack) join(base *Base, opt Options) (*transform.Recipe, error) {
	if err := s.leaveCopies(base); err != nil {
		return nil, err
	}
	if opt.Combine != nil {
		if err := opt.Combine.check(s); err != nil {
			return nil, err
		}
	}
	first := s.parts[0].recipe
	joined := &transform.Recipe{
		File: first.File, BaseHint: first.BaseHint, TaskType: first.TaskType, AutoClass: first.AutoClass, Replication: first.Replication,
		ByPart: first.ByPart,
	}
	var types []string
	headless := true // no adapter so far brings a head
	for i, p := range s.parts {
		if !slices.Equal(p.recipe.Replication, first.Replication) {
			return nil, &StackConflictError{Ref: s.ref, Adapters: [2]string{s.parts[0].name, p.name},
				Reason: "layer_replication differs, so that their layers are not the same"}
		}
		if !slices.Contains(types, p.recipe.Type) {
			types = append(types, p.recipe.Type)
		}
		if p.recipe.ByPart != first.ByPart {
			return nil, &StackConflictError{Ref: s.ref, Adapters: [2]string{s.parts[0].name, p.name},
				Reason: "one names the parts of a pipeline, the other the modules of one model"}
		}
		if err := p.stackable(); err != nil {
			return nil, &modeldir.StackPartError{Ref: s.ref, Part: p.name, Err: err}
		}
		for _, n := range p.recipe.Notes {
			joined.Notes = append(joined.Notes, p.name+": "+n)
		}
		for _, w := range p.recipe.Warnings {
			w.File, w.Text = p.recipe.File, p.name+": "+w.Text
			joined.Warnings = append(joined.Warnings, w)
		}
		for _, e := range p.recipe.Edits {
			weighed, err := s.weigh(i, e, opt)
			if err != nil {
				var edit *transform.WeightError
				if errors.As(err, &edit) {
					err = &EditError{Adapter: p.recipe.File, Base: base.Ref(), Tensor: edit.Tensor, Keys: e.Keys, Err: err}
				}
				return nil, &modeldir.StackPartError{Ref: s.ref, Part: p.name, Err: err}
			}
			if e.Adds && headless {
				headless = false
				joined.TaskType, joined.AutoClass = p.recipe.TaskType, p.recipe.AutoClass
			}
			joined.Edits = append(joined.Edits, weighed)
		}
	}
	joined.Type = strings.Join(types, "+")
	return joined, nil
}

// stackable refuses what is read for one adapter alone: edits that all modules of the
// model share.
func (p stackPart) stackable() error {
	joint := func(e transform.Edit) bool {
		_, ok := e.Transform.(transform.Joint)
		return ok
	}
	if p.recipe.Everywhere == nil && !slices.ContainsFunc(p.recipe.Edits, joint) {
		return nil
	}
	return &StackTypeError{Type: p.recipe.Type}
}

// StackTypeError is an adapter of a type that is not stacked.
type StackTypeError struct{ Type string }

func (e *StackTypeError) Error() string {
	return fmt.Sprintf("an adapter of type %s divides its values among all modules of the model and is not stacked by this version", e.Type)
}

// weigh is an edit of the i-th adapter with the adapter's weight.
func (s *stack) weigh(i int, e transform.Edit, opt Options) (transform.Edit, error) {
	e.Adapter = i
	if opt.Combine != nil {
		return e, nil // which takes the weights by itself
	}
	t, err := transform.Weigh(e.Transform, s.parts[i].weight, e.Module+"."+e.Param)
	e.Transform = t
	return e, err
}

// checkReplacements refuses two adapters that put unlike tensors in one place.
func (p *planner) checkReplacements(o *output) error {
	s := p.opt.stack
	if s == nil {
		return nil
	}
	for j, e := range o.edits {
		r, ok := e.Transform.(transform.Replace)
		if !ok {
			continue
		}
		for _, before := range o.edits[:j] {
			if before.Adapter == e.Adapter || !samePlace(before, e) {
				continue
			}
			other, ok := before.Transform.(transform.Replace)
			if !ok {
				p.warnings = append(p.warnings, transform.Warnf(transform.DeltaReplaced, o.name, "%s replaces %s, so that what %s adds before is lost",
					s.parts[e.Adapter].name, o.name, s.parts[before.Adapter].name))
				continue
			}
			same, err := sameShaped(other, r)
			if err != nil {
				return err
			}
			if !same {
				return &StackConflictError{Ref: s.ref, Adapters: [2]string{s.parts[before.Adapter].name, s.parts[e.Adapter].name}, Tensor: o.name,
					Reason: "each puts another tensor in its place"}
			}
		}
	}
	return nil
}

func sameShaped(a, b transform.Replace) (bool, error) {
	if !slices.Equal(a.Value.Shape, b.Value.Shape) {
		return false, nil
	}
	return sameValues(a, b)
}

// addUp makes one edit of those that follow each other and only add.
func (p *planner) addUp(o *output, chain []boundEdit, r transform.Rounding, overflow bool) ([]boundEdit, error) {
	if p.opt.stack == nil || len(chain) < 2 {
		return chain, nil
	}
	var out []boundEdit
	chain = byPlace(chain)
	for len(chain) > 0 {
		n := run(chain, r)
		if n < 2 {
			out, chain = append(out, chain[0]), chain[1:]
			continue
		}
		e := together(chain[:n])
		be, err := e.bind(p.param(o, e, overflow), r)
		if err != nil {
			return nil, p.editError(o, e, err)
		}
		out, chain = append(out, be), chain[n:]
	}
	return out, nil
}

// onWhole makes edits of some rows edits of the whole tensor where another one is, so that
// they can be added up. That is done for low-rank deltas of a layer.
func (p *planner) onWhole(o *output, edits []placedEdit, r transform.Rounding) []placedEdit {
	whole := func(e placedEdit) bool { return samePlace(e, placedEdit{}) }
	if p.opt.stack == nil || r != transform.Once || len(o.info.Shape) != 2 || !slices.ContainsFunc(edits, whole) {
		return edits
	}
	edits = slices.Clone(edits)
	for i := range edits {
		e := &edits[i]
		low, ok := e.Transform.(transform.LowRank)
		rows, some := e.rows(o.info.Shape[0])
		if !ok || !some || low.Layer > transform.Conv || len(low.A.Shape) != 2 || len(low.B.Shape) != 2 || low.B.Shape[0] != rows.Whole {
			continue
		}
		share := low.Share()
		share.Run = transform.Run{At: rows.First, Stride: 1, First: rows.From, Count: rows.Count}
		e.Transform = share
		e.segment, e.part = segment{}, part{}
	}
	return edits
}

// rows are those of the tensor that the edit is of, where these are not all.
func (e placedEdit) rows(total int64) (s segment, some bool) {
	switch {
	case e.plane > 0:
		return s, false
	case e.part.some():
		return e.part.segment(total), true
	}
	return e.segment, e.segment.some()
}

// samePlace says that two edits of a tensor are of the same rows.
func samePlace(a, b placedEdit) bool {
	return a.part == b.part && a.segment == b.segment && a.plane == b.plane
}

// byPlace brings the edits of the same rows together, where none is of the whole.
func byPlace(chain []boundEdit) []boundEdit {
	whole := func(e boundEdit) bool { return samePlace(e.placedEdit, placedEdit{}) }
	if slices.ContainsFunc(chain, whole) {
		return chain
	}
	var out []boundEdit
	for len(chain) > 0 {
		here := func(e boundEdit) bool { return samePlace(e.placedEdit, chain[0].placedEdit) }
		var rest []boundEdit
		for _, e := range chain {
			if here(e) {
				out = append(out, e)
			} else {
				rest = append(rest, e)
			}
		}
		chain = rest
	}
	return out
}

// run is how many edits from the first on are applied as one. Where each is rounded
// only those need it that look at the unmerged weights after others.
func run(chain []boundEdit, r transform.Rounding) int {
	n, late := 0, false
	for n < len(chain) && samePlace(chain[n].placedEdit, chain[0].placedEdit) && transform.Addend(unwrap(chain[n].bound)) {
		late = late || n > 0 && transform.NeedsBase(unwrap(chain[n].bound))
		n++
	}
	if r != transform.Once && !late {
		return 0
	}
	return n
}

func unwrap(b transform.Bound) transform.Bound {
	if w, ok := b.(interface{ Unwrap() transform.Bound }); ok {
		return w.Unwrap()
	}
	return b
}

func together(chain []boundEdit) placedEdit {
	e := chain[0].placedEdit
	var all transform.Total
	e.Keys = nil
	for _, b := range chain {
		all.Terms = append(all.Terms, b.Transform)
		e.terms = append(e.terms, b.placedEdit)
		e.Keys = append(e.Keys, b.Keys...)
	}
	e.Transform = all
	return e
}

// written is a chain's edits as they were before they were applied together.
func written(chain []boundEdit) []placedEdit {
	var all []placedEdit
	for _, b := range chain {
		if b.terms != nil {
			all = append(all, b.terms...)
		} else {
			all = append(all, b.placedEdit)
		}
	}
	return all
}

// tokenizerWarning says that not every adapter's tokenizer is in the tree.
func (s *stack) tokenizerWarning(a modeldir.Adapter) string {
	if s == nil {
		return ""
	}
	var shown modeldir.Part
	for _, p := range a.Parts {
		if len(p.Files) > 0 {
			shown = p
		}
	}
	for _, p := range a.Parts {
		if len(p.Files) > 0 && !sameFiles(p.Files, shown.Files) {
			return fmt.Sprintf("%s and %s bring different tokenizers or generation settings; those of %s are shown", p.Ref, shown.Ref, shown.Ref)
		}
	}
	return ""
}

func sameFiles(a, b []modeldir.File) bool {
	return slices.EqualFunc(a, b, func(x, y modeldir.File) bool {
		if x.Path != y.Path || x.Size != y.Size {
			return false
		}
		if x.Host == y.Host {
			return true
		}
		p, errP := os.ReadFile(x.Host)
		q, errQ := os.ReadFile(y.Host)
		return errP == nil && errQ == nil && bytes.Equal(p, q)
	})
}
