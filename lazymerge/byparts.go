package lazymerge

import (
	"errors"
	"slices"
	"strings"

	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/resolve/diffusion"
	"lorafs/lazymerge/transform"
)

// partsPlanner plans a recipe whose edits name the components that they are for.
type partsPlanner struct {
	recipe   *transform.Recipe
	base     *Base
	planners []*planner // one a component
	claims   map[claimed][]claim
	missing  []Unmatched
}

type claimed struct {
	adapter   int // of a stack
	component int
	tensor    string
}

type claim struct {
	segment
	by moduleName
}

// moduleName is a module as an adapter names it.
type moduleName struct {
	part, module string
	flat         bool
}

func nameOf(e transform.Edit) moduleName { return moduleName{e.Part, e.Module, e.Flat} }

func (n moduleName) String() string {
	if n.part == "" {
		return n.module
	}
	return n.part + ":" + n.module
}

// planParts places every edit in its component. The components without edits have no
// part in the result. Errors as of makePlan.
func planParts(b *Base, r *transform.Recipe, opt Options) ([]*planner, error) {
	p := &partsPlanner{recipe: r, base: b, claims: make(map[claimed][]claim)}
	for _, c := range b.components {
		one, err := newPlanner(b, c, r, opt)
		if err != nil {
			return nil, err
		}
		p.planners = append(p.planners, one)
	}
	index := b.diffusion()
	for i, e := range r.Edits {
		if err := p.place(index, placedEdit{Edit: e, order: i}); err != nil {
			return nil, err
		}
	}
	return p.finish()
}

func (p *partsPlanner) finish() ([]*planner, error) {
	p.planners[0].unmatched = append(p.planners[0].unmatched, p.missing...)
	places := func(adapter int) bool {
		return slices.ContainsFunc(p.planners, func(one *planner) bool { return one.places(adapter) })
	}
	if err := p.planners[0].settle(places); err != nil {
		return nil, err
	}
	p.warnSecond()
	var used []*planner
	for _, one := range p.planners {
		if !one.changes() {
			continue
		}
		if err := one.finish(); err != nil {
			return nil, err
		}
		used = append(used, one)
	}
	if used == nil { // the adapter has no edits
		return p.planners[:1], p.planners[0].finish()
	}
	used[0].warnings = mergeWarnings(p.planners[0], used[0])
	return used, nil
}

// warnSecond says where a pipeline has two denoisers and the adapter names none of
// them. diffusers takes the first as well.
func (p *partsPlanner) warnSecond() {
	names := make(map[string]bool)
	for _, e := range p.recipe.Edits {
		names[e.Part] = true
	}
	for i, c := range p.base.components {
		second := c.dir.Dir + "_2"
		isSecond := func(o *component) bool { return o.dir.Dir == second }
		if strings.HasPrefix(c.dir.Dir, "text_encoder") || names[second] || !p.planners[i].changes() || !slices.ContainsFunc(p.base.components, isSecond) {
			continue
		}
		p.planners[i].warnings = append(p.planners[i].warnings, transform.Warnf(transform.PartGuess, "",
			"only %s is changed, and %s stays the base's: the adapter's keys do not name %[2]s", c.dir.Dir, second))
	}
}

// mergeWarnings keeps the warning that settle left at the first planner.
func mergeWarnings(first, used *planner) []transform.Warning {
	if first == used {
		return used.warnings
	}
	return append(first.warnings, used.warnings...)
}

// changes says whether the planner has edits.
func (p *planner) changes() bool {
	for _, o := range p.outputs {
		if o.edited() {
			return true
		}
	}
	return false
}

// place books one edit with every tensor that it concerns.
func (p *partsPlanner) place(index *diffusion.Index, e placedEdit) error {
	places, err := findPlaces(index, e.Edit)
	var notFound *resolve.NotFoundError
	switch {
	case errors.As(err, &notFound) && !e.Flat:
		return p.placeByName(index, e, err)
	case err != nil:
		return p.miss(e, err)
	}
	for _, at := range places {
		placed := e
		placed.how, placed.segment, placed.turned = at.How, segment(at.Rows), at.Turned
		if low, ok := e.Transform.(transform.LowRank); ok && at.Turned {
			low.Layer = transform.Linear // a convolution is never stored so
			placed.Transform = low
		}
		if err := p.claim(e.Adapter, at, nameOf(e.Edit)); err != nil {
			return err
		}
		one := p.planners[at.Component]
		one.byName[at.Tensor].add(placed)
	}
	return nil
}

// findPlaces looks a module up as the adapter names it, then with its component as the
// beginning of its name: "transformer." may be either.
func findPlaces(index *diffusion.Index, e transform.Edit) ([]diffusion.Place, error) {
	places, err := index.Find(e.Part, e.Module, e.Param, e.Flat)
	if err == nil || e.Part == "" {
		return places, err
	}
	sep := "."
	if e.Flat {
		sep = "_"
	}
	if again, err2 := index.Find("", e.Part+sep+e.Module, e.Param, e.Flat); err2 == nil {
		return again, nil
	}
	return places, err
}

// placeByName tries what is known of transformers' models: an encoder that was saved
// by another release, a language model.
func (p *partsPlanner) placeByName(index *diffusion.Index, e placedEdit, miss error) error {
	for _, c := range index.Components(e.Part) {
		one := p.planners[c]
		for _, module := range []string{e.Module, e.Part + "." + e.Module} {
			m, err := one.names.Find(module, e.Param)
			if err != nil {
				continue
			}
			renamed := e
			renamed.Module = module
			if err := p.claim(e.Adapter, diffusion.Place{Component: c, Tensor: m.Name}, nameOf(e.Edit)); err != nil {
				return err
			}
			return one.placeOne(renamed)
		}
	}
	return p.miss(e, miss)
}

// claim refuses a second module for rows that one has already.
func (p *partsPlanner) claim(adapter int, at diffusion.Place, by moduleName) error {
	key := claimed{adapter, at.Component, at.Tensor}
	for _, c := range p.claims[key] {
		if c.by != by && c.overlaps(segment(at.Rows)) {
			return p.planners[0].of(adapter, &CollisionError{Adapter: p.planners[0].file(adapter), Tensor: at.Tensor, Modules: [2]string{c.by.String(), by.String()}})
		}
	}
	p.claims[key] = append(p.claims[key], claim{segment(at.Rows), by})
	return nil
}

func (p *partsPlanner) miss(e placedEdit, err error) error {
	u, err := e.unmatched(err)
	if err != nil {
		return err
	}
	p.missing = append(p.missing, u)
	return nil
}

// newDiffusion makes the index of the base's modules by all the names that diffusion
// adapters give them.
func (b *Base) newDiffusion() *diffusion.Index {
	var components []diffusion.Component
	for _, c := range b.components {
		d := diffusion.Component{Dir: c.dir.Dir}
		for _, s := range c.slots {
			d.Tensors = append(d.Tensors, diffusion.Tensor{Name: s.name, Shape: s.from.Shape})
		}
		components = append(components, d)
	}
	return diffusion.New(components)
}
