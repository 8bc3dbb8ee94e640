package lazymerge

import (
	"slices"

	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/transform"
)

// jointEdit is an edit that depends on the parameters of others.
type jointEdit struct {
	*placedEdit
	on    *output
	param transform.Param
}

// placeEverywhere makes the edit of each module that the recipe means by no name.
// Errors: *EditError when there is none.
func (p *planner) placeEverywhere() error {
	all := p.recipe.Everywhere
	if all == nil {
		return nil
	}
	order := len(p.recipe.Edits)
	modules, unplaced := p.names.Modules()
	if err := p.checkUnplaced(all, unplaced); err != nil {
		return err
	}
	for _, module := range modules {
		meant, err := all.Means(module)
		if err != nil {
			return err
		}
		if !meant {
			continue
		}
		e := all.Edit
		e.Module = module
		if err := p.placeOne(placedEdit{Edit: e, order: order}); err != nil {
			return err
		}
		order++
	}
	if order == len(p.recipe.Edits) {
		return &EditError{Adapter: p.recipe.File, Base: p.base.Ref(), Keys: all.Edit.Keys,
			Err: &transform.JointError{Transform: p.recipe.Type, Reason: "target_modules means no module of the base, or the model's class is not known"}}
	}
	return nil
}

// checkUnplaced refuses a module that the recipe means and whose place among the others is
// not known: what is drawn for those depends on it. Norms are never meant.
func (p *planner) checkUnplaced(all *transform.Everywhere, modules []string) error {
	for _, module := range modules {
		meant, err := all.Means(module)
		if err != nil {
			return err
		}
		if m, err := p.names.Find(module, "weight"); err == nil && len(p.byName[m.Name].info.Shape) < 2 {
			continue
		}
		if meant {
			return &EditError{Adapter: p.recipe.File, Base: p.base.Ref(), Keys: all.Edit.Keys, Err: &resolve.OrderError{Module: module, Class: p.names.Class()}}
		}
	}
	return nil
}

// join tells such edits of each other's parameters, in the order of the model's modules
// where it is known. Errors: *EditError.
func (p *planner) join() error {
	edits := p.jointEdits()
	if len(edits) == 0 {
		return nil
	}
	peers := transform.Peers{Order: p.sortJoint(edits)}
	for _, e := range edits {
		peers.Params = append(peers.Params, e.param)
	}
	for i, e := range edits {
		peers.Self = i
		t, err := e.Transform.(transform.Joint).Join(peers)
		if err != nil {
			return &EditError{Adapter: p.recipe.File, Base: p.base.Ref(), Tensor: e.on.name, Keys: e.Keys, Err: err}
		}
		e.Transform = t
	}
	return nil
}

func (p *planner) jointEdits() []jointEdit {
	var edits []jointEdit
	for _, o := range p.outputs {
		for i := range o.edits {
			e := &o.edits[i]
			if _, ok := e.Transform.(transform.Joint); ok {
				edits = append(edits, jointEdit{e, o, e.part.param(p.param(o, *e, p.opt.AllowNonFinite))})
			}
		}
	}
	return edits
}

// sortJoint sorts edits as the model's modules are. The error says why it cannot.
func (p *planner) sortJoint(edits []jointEdit) error {
	if len(edits) == 1 {
		return nil
	}
	var modules []string
	for _, e := range edits {
		modules = append(modules, e.Module)
	}
	places, err := p.names.Places(modules)
	if err != nil {
		return err
	}
	place := make(map[string]int)
	for i, m := range modules {
		place[m] = places[i]
	}
	slices.SortStableFunc(edits, func(a, b jointEdit) int { return place[a.Module] - place[b.Module] })
	return nil
}
