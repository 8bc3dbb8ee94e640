package lazymerge

import (
	"bytes"
	"fmt"
	"slices"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// Tied parameters. An architecture may give two modules one tensor (lm_head and
// embed_tokens). An edit of one module alone ends that: the merged model needs a
// tensor for each, and config.json must say so. PEFT's merge adds into the shared
// tensor instead and changes both sides; the values here are those that the
// un-merged model computes with (deviation).

// ghost is the output of a tied module that has no tensor on disk. It becomes part
// of the view only when untie decides so.
func (p *planner) ghost(own string, root *output) *output {
	if o, ok := p.byName[own]; ok {
		return o
	}
	info := root.info
	info.Name = own
	o := &output{slot: slot{name: own, shard: root.shard, from: root.from}, info: info, added: true, root: root}
	p.byName[own] = o
	return o
}

func sameKind(a, b placedEdit) bool {
	return fmt.Sprintf("%T", a.Transform) == fmt.Sprintf("%T", b.Transform)
}

// placeShared books an edit that every module tied to root sees. A saved model
// with tied embeddings holds such an edit once per module: the copy is dropped
// when it holds the same values, and is the module's own otherwise.
func (p *planner) placeShared(root *output, own string, e placedEdit) error {
	e.Scope = transform.Shared
	for _, have := range root.edits {
		if have.Scope != transform.Shared || have.Adapter != e.Adapter || !sameKind(have, e) {
			continue
		}
		same, err := sameValues(have.Transform, e.Transform)
		if err != nil || same {
			return err
		}
		e.Scope = transform.Own
		p.ghost(own, root).add(e)
		return nil
	}
	root.add(e)
	return p.spread(root, e)
}

// spread gives a shared edit to the tied modules that have a tensor on disk too.
// Where that one has other values nothing is shared, whatever config.json says:
// transformers does not tie such a pair either.
func (p *planner) spread(root *output, e placedEdit) error {
	for _, name := range p.names.TiedTo(root.name) {
		o, ok := p.byName[name]
		if !ok || o == root || o.added {
			continue
		}
		same, err := sameBytes(root.slot.from, o.slot.from)
		if err != nil {
			return err
		}
		if same {
			o.add(e)
		}
	}
	return nil
}

// sameValues compares what two transforms of a kind read, byte by byte.
func sameValues(a, b transform.Transform) (bool, error) {
	ta, tb := a.Tensors(), b.Tensors()
	if len(ta) != len(tb) {
		return false, nil
	}
	for i := range ta {
		if same, err := sameBytes(ta[i], tb[i]); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func sameBytes(a, b *safetensors.Tensor) (bool, error) {
	na, errA := a.Bytes()
	nb, errB := b.Bytes()
	if errA != nil || errB != nil || na != nb || a.DType != b.DType {
		return false, nil
	}
	const step = 1 << 20
	for lo := int64(0); lo < na; lo += step {
		hi := min(lo+step, na)
		x, err := a.Slice(lo, hi)
		if err != nil {
			return false, err
		}
		y, err := b.Slice(lo, hi)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(x, y) {
			return false, nil
		}
	}
	return true, nil
}

// tie is a tensor and the names of the parameters that share it.
type tie struct {
	root    *output
	members []string
}

// untie gives tied modules tensors of their own where their values part.
func (p *planner) untie() error {
	ties, err := p.ties()
	if err != nil {
		return err
	}
	for _, t := range ties {
		if p.parted(t) {
			p.part(t)
		}
	}
	if p.config.untied {
		p.release(ties)
	}
	return nil
}

// ties lists what is shared, with the edits told apart that are for all.
func (p *planner) ties() ([]tie, error) {
	var ties []tie
	for _, root := range p.outputs {
		if root.added {
			continue
		}
		members := p.names.TiedTo(root.name)
		if len(members) == 0 {
			continue
		}
		if err := p.rejoin(root, members); err != nil {
			return nil, err
		}
		ties = append(ties, tie{root, members})
	}
	return ties, nil
}

// parted tells whether some module that shares the tensor has an edit of its own.
func (p *planner) parted(t tie) bool {
	if t.root.own() {
		return true
	}
	return slices.ContainsFunc(t.members, func(name string) bool {
		o, ok := p.byName[name]
		return ok && o.own()
	})
}

// release gives every other tied module a tensor too: config.json has one flag for
// all of them (a masked language model ties the bias of its decoder as well).
func (p *planner) release(ties []tie) {
	for _, t := range ties {
		for _, name := range t.members {
			p.placeGhost(name, t.root)
		}
	}
}

// rejoin finds edits of one module that are edits of all: those that a tied module
// repeats with the same values, and under ensure_weight_tying those of the only
// module that has any.
func (p *planner) rejoin(root *output, members []string) error {
	var others []*output
	for _, name := range members {
		if o, ok := p.byName[name]; ok && o.root == root && o.own() {
			others = append(others, o)
		}
	}
	p.tieWeights(root, others)
	others = slices.DeleteFunc(others, func(o *output) bool { return !o.own() })
	if len(others) != len(members) || !root.own() {
		return nil
	}
	for _, o := range others {
		if same, err := sameEdits(root, o); err != nil || !same {
			return err
		}
	}
	root.share()
	for _, o := range others {
		o.edits = nil
	}
	return nil
}

// tieWeights makes edits of one module alone those of all, where their adapter has
// ensure_weight_tying.
func (p *planner) tieWeights(root *output, others []*output) {
	for i, r := range p.opt.stack.recipes(p.recipe) {
		if !r.TieWeights {
			continue
		}
		of := func(e placedEdit) bool { return e.Adapter == i && e.Scope == transform.Own }
		var holders []*output
		for _, o := range others {
			if slices.ContainsFunc(o.edits, of) {
				holders = append(holders, o)
			}
		}
		onRoot := slices.ContainsFunc(root.edits, of)
		switch {
		case onRoot && len(holders) == 0:
		case !onRoot && len(holders) == 1:
			for _, e := range holders[0].edits {
				if of(e) {
					root.add(e)
				}
			}
			holders[0].edits = slices.DeleteFunc(holders[0].edits, of)
		default:
			continue
		}
		for j := range root.edits {
			if of(root.edits[j]) {
				root.edits[j].Scope = transform.Shared
			}
		}
	}
}

func sameEdits(a, b *output) (bool, error) {
	x, y := a.owned(), b.owned()
	if len(x) != len(y) {
		return false, nil
	}
	for i := range x {
		if x[i].Adapter != y[i].Adapter || !sameKind(x[i], y[i]) {
			return false, nil
		}
		if same, err := sameValues(x[i].Transform, y[i].Transform); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// owned lists the edits that are for the module alone.
func (o *output) owned() []placedEdit {
	return slices.DeleteFunc(slices.Clone(o.edits), func(e placedEdit) bool { return e.Scope != transform.Own })
}

func (o *output) own() bool { return len(o.owned()) > 0 }

// share makes all edits those of every tied module.
func (o *output) share() {
	for i := range o.edits {
		o.edits[i].Scope = transform.Shared
	}
}

// part makes the tensors of the modules tied to one. Where config.json can say
// that nothing is tied, every member needs one; where it cannot, those suffice
// that differ from the root.
func (p *planner) part(t tie) {
	keep := p.keepsTieFlag()
	for _, name := range t.members {
		o := p.byName[name]
		if keep && !t.root.own() && (o == nil || !o.own()) {
			continue
		}
		if p.placeGhost(name, t.root) {
			p.notes = append(p.notes, "deviation from PEFT: "+name+" is no longer tied to "+t.root.name+
				"; PEFT's merge adds into the shared tensor and changes both, these are the values the un-merged model computes with")
		}
	}
	if keep {
		p.warnings = append(p.warnings, transform.Warnf(transform.TieKept, t.root.name, "tie_word_embeddings stays true although %s"+
			" and the tensors tied to it differ: the architecture scales its output by that flag; readers from transformers 5 on load both tensors, older ones tie them", t.root.name))
		return
	}
	p.config.untied = true
}

// placeGhost makes the tensor of a module tied to root part of the view. It returns
// false for one that has its own on disk, or has been placed.
func (p *planner) placeGhost(name string, root *output) bool {
	if o := p.byName[name]; o != nil && o.root == nil {
		return false
	}
	o := p.ghost(name, root)
	if o.placed {
		return false
	}
	o.placed = true
	for _, e := range root.edits {
		if e.Scope == transform.Shared && !replacedByOwn(o, e) {
			o.add(e)
		}
	}
	p.outputs = append(p.outputs, o)
	return true
}

// replacedByOwn: a module with a wholesale tensor of its own does not see the shared one.
func replacedByOwn(o *output, shared placedEdit) bool {
	if _, ok := shared.Transform.(transform.Replace); !ok {
		return false
	}
	for _, e := range o.edits {
		if _, ok := e.Transform.(transform.Replace); ok && e.Scope == transform.Own {
			return true
		}
	}
	return false
}

// keepsTieFlag: the T5 family derives a scale of the decoder's output from
// tie_word_embeddings, so turning it off would change more than the weights.
func (p *planner) keepsTieFlag() bool {
	switch p.c.modelType() {
	case "t5", "mt5", "umt5", "longt5", "pop2piano", "switch_transformers", "udop":
		return true
	}
	return false
}
