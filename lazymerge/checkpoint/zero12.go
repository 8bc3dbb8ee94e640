package checkpoint

import (
	"fmt"
	"slices"

	"lorafs/lazymerge/torchfile"
)

// addZero12 puts the parameters of stages 1 and 2 together.
//
// The parameters of a group lie one behind the other, each with its padding, in one
// vector, which is filled up and cut into equal parts, one a rank. Each rank saves its
// part without the filling (deepspeed runtime/zero/stage_1_and_2.py @0.19.8).
func (c *Checkpoint) addZero12(m *zeroModel, ranks []*zeroOptim) error {
	first := ranks[0]
	if len(m.groups) != len(first.flat) {
		return &MixedError{File: m.file, Other: first.file, What: "the number of groups", Has: fmt.Sprint(len(m.groups)), Had: fmt.Sprint(len(first.flat))}
	}
	if err := c.addBuffers(m); err != nil {
		return err
	}
	if err := c.addFrozen12(m); err != nil {
		return err
	}
	for g := range m.groups {
		if err := c.addGroup12(m, ranks, g); err != nil {
			return err
		}
	}
	c.addShared(m)
	return nil
}

// flatGroup is the layout of a group: where each parameter begins, and where all end.
type flatGroup struct {
	params []param
	starts []int64
	end    int64
	part   int64 // elements of a rank
}

func layoutOf(m *zeroModel, o *zeroOptim, g int) (*flatGroup, error) {
	f := &flatGroup{params: m.groups[g], part: o.flat[g].Shape[0]}
	var paddings []int64
	if o.paddings != nil {
		if len(o.paddings) != len(m.groups) || len(o.paddings[g]) != len(f.params) {
			return nil, &LayoutError{File: o.file, Reason: fmt.Sprintf("param_alignment_paddings does not fit the %d parameters of group %d", len(f.params), g)}
		}
		paddings = o.paddings[g]
	}
	for i, p := range f.params {
		f.starts = append(f.starts, f.end)
		f.end += p.numel()
		if paddings != nil {
			f.end += paddings[i]
		}
		if !sane([]int64{f.end}) {
			return nil, &LayoutError{File: m.file, Reason: "its parameters are too large"}
		}
	}
	return f, nil
}

func (c *Checkpoint) addGroup12(m *zeroModel, ranks []*zeroOptim, g int) error {
	f, err := layoutOf(m, ranks[0], g)
	if err != nil {
		return err
	}
	if err := f.checkLengths(m, ranks, g); err != nil {
		return err
	}
	if err := f.checkSlices(ranks, g); err != nil {
		return err
	}
	for i, p := range f.params {
		t := &Tensor{
			Name: p.name, DType: ranks[0].flat[g].DType, Shape: p.shape, Trained: true,
			Saved: m.modelDType(p.name, ranks[0].flat[g].DType), grid: []int64{p.numel()},
		}
		f.eachPart(i, func(rank int, inParam, inPart, n int64) {
			t.chunks = append(t.chunks, chunk{
				offsets: []int64{inParam}, sizes: []int64{n},
				from: ranks[rank].flat[g], at: inPart, file: ranks[rank].file,
			})
		})
		if err := t.checkTiling(m.file); err != nil {
			return err
		}
		if err := t.checkAgainst(m); err != nil {
			return err
		}
		c.Tensors = append(c.Tensors, t)
	}
	return nil
}

// eachPart walks over the ranks that hold some of parameter i.
func (f *flatGroup) eachPart(i int, visit func(rank int, inParam, inPart, n int64)) {
	at, end := f.starts[i], f.starts[i]+f.params[i].numel()
	for at < end {
		rank := at / f.part
		n := min(end, (rank+1)*f.part) - at
		visit(int(rank), at-f.starts[i], at-rank*f.part, n)
		at += n
	}
}

// checkLengths holds the ranks' parts against the shapes: all are as long as the first,
// up to the filling at the end of the group, which old versions saved as well.
func (f *flatGroup) checkLengths(m *zeroModel, ranks []*zeroOptim, g int) error {
	world := int64(len(ranks))
	for r, o := range ranks {
		have := o.flat[g].Shape[0]
		want := min(max(f.end-int64(r)*f.part, 0), f.part)
		if have != want && have != f.part {
			return &LayoutError{File: o.file, Reason: fmt.Sprintf("group %d has %d elements, the shapes in %q give %d", g, have, m.file, want)}
		}
	}
	// Filled up to a multiple of 2·world, or of world in old versions.
	if total := f.part * world; total < f.end || total >= f.end+2*world {
		return &LayoutError{File: ranks[0].file, Reason: fmt.Sprintf("group %d has parts of %d elements for %d ranks, the shapes in %q give %d in all", g, f.part, world, m.file, f.end)}
	}
	return nil
}

// checkSlices holds DeepSpeed's own table of where parameters lie against the layout. It
// follows the order of the model, so it is of use only where the layout does as well.
func (f *flatGroup) checkSlices(ranks []*zeroOptim, g int) error {
	if !f.inOrder(ranks, g) {
		return nil
	}
	for i, p := range f.params {
		var err error
		f.eachPart(i, func(rank int, _, inPart, n int64) {
			o := ranks[rank]
			v, _ := o.slices[g].Get(p.name)
			a, _ := attributes(v, "numel", "start")
			numel, okN := integer(a["numel"])
			start, okS := integer(a["start"])
			if err == nil && (!okN || !okS || numel != n || start != inPart) {
				err = &LayoutError{File: o.file, Tensor: p.name, Reason: "param_slice_mappings says that it lies elsewhere, as if the file were another rank's"}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inOrder tells whether the tables of the ranks name the parameters in the layout's
// order, which round_robin_gradients changes.
func (f *flatGroup) inOrder(ranks []*zeroOptim, g int) bool {
	at := 0 // of the parameter that a table may name next
	for _, o := range ranks {
		if g >= len(o.slices) || o.slices[g] == nil {
			return false
		}
		for k := range o.slices[g].All() {
			switch {
			case at < len(f.params) && k == f.params[at].name:
				at++
			case at > 0 && k == f.params[at-1].name: // it goes on here
			default:
				return false
			}
		}
	}
	return at == len(f.params)
}

// addFrozen12 adds the frozen parameters: stage 2 saves them whole, stage 1 leaves them
// among the module's.
func (c *Checkpoint) addFrozen12(m *zeroModel) error {
	if m.frozen == nil {
		return c.addRest(m)
	}
	for _, p := range m.frozen {
		var v any
		if m.parts != nil {
			v, _ = m.parts.Get(p.name)
		}
		t, ok := v.(*torchfile.Tensor)
		if !ok || !slices.Equal(t.Shape, p.shape) {
			return &LayoutError{File: m.file, Tensor: p.name, Reason: fmt.Sprintf("frozen_param_fragments has no such tensor of shape %v", p.shape)}
		}
		out, err := whole(p.name, m.file, t)
		if err != nil {
			return err
		}
		c.Tensors = append(c.Tensors, out)
	}
	return nil
}

// addRest adds the module's tensors that are neither trained, buffers nor aliases.
func (c *Checkpoint) addRest(m *zeroModel) error {
	skip := make(map[string]bool)
	for _, name := range m.buffers {
		skip[name] = true
	}
	for _, pair := range m.shared {
		skip[pair[0]] = true
	}
	for _, g := range m.groups {
		for _, p := range g {
			skip[p.name] = true
		}
	}
	for k, v := range m.module.All() {
		name, okName := k.(string)
		t, okTensor := v.(*torchfile.Tensor)
		if !okName || !okTensor || skip[name] {
			continue
		}
		out, err := whole(name, m.file, t)
		if err != nil {
			return err
		}
		c.Tensors = append(c.Tensors, out)
	}
	return nil
}
