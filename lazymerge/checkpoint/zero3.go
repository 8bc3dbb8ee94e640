package checkpoint

import (
	"fmt"

	"lorafs/lazymerge/torchfile"
)

// addZero3 puts the parameters of stage 3 together.
//
// Each parameter is filled up and cut into equal parts, one a rank; a rank's parts lie
// one behind the other in the vectors of its sub-groups (deepspeed
// runtime/zero/partition_parameters.py, utils/zero_to_fp32.py @0.19.8).
func (c *Checkpoint) addZero3(models []*zeroModel, ranks []*zeroOptim) error {
	m := models[0]
	if err := c.addBuffers(m); err != nil {
		return err
	}
	if err := c.addFrozen3(models); err != nil {
		return err
	}
	if err := checkSubGroups(m, ranks); err != nil {
		return err
	}
	if err := refuseCopies(ranks); err != nil {
		return err
	}
	c.noteNameless(ranks)
	at := int64(0)
	for _, group := range m.groups {
		for _, p := range group {
			t := &Tensor{
				Name: p.name, DType: ranks[0].flat[0].DType, Shape: p.shape, Trained: true,
				Saved: m.modelDType(p.name, ranks[0].flat[0].DType), grid: []int64{p.numel()},
			}
			part := ceilDiv(p.numel(), int64(len(ranks)))
			for r, o := range ranks {
				begin := int64(r) * part
				t.addVirtual(o, at, begin, min(part, max(p.numel()-begin, 0)))
			}
			if err := t.checkTiling(m.file); err != nil {
				return err
			}
			at += part
			c.Tensors = append(c.Tensors, t)
		}
	}
	c.addShared(m)
	return nil
}

// addVirtual adds n elements of the rank's vectors, taken as one, from at on; they begin
// at element first of the tensor.
func (t *Tensor) addVirtual(o *zeroOptim, at, first, n int64) {
	for _, flat := range o.flat {
		length := flat.Shape[0]
		if at >= length {
			at -= length
			continue
		}
		if n == 0 {
			return
		}
		some := min(n, length-at)
		t.chunks = append(t.chunks, chunk{offsets: []int64{first}, sizes: []int64{some}, from: flat, at: at, file: o.file})
		first, n, at = first+some, n-some, 0
	}
}

// checkSubGroups holds the lengths of the ranks' vectors against the shapes.
func checkSubGroups(m *zeroModel, ranks []*zeroOptim) error {
	if len(ranks[0].flat) == 0 {
		return &LayoutError{File: ranks[0].file, Reason: "fp32_flat_groups is empty"}
	}
	if err := checkEnds(m, ranks[0]); err != nil {
		return err
	}
	world := int64(len(ranks))
	all := int64(0)
	for _, group := range m.groups {
		for _, p := range group {
			if all += ceilDiv(p.numel(), world); !sane([]int64{all}) {
				return &LayoutError{File: m.file, Reason: "its parameters are too large"}
			}
		}
	}
	for _, o := range ranks {
		have := int64(0)
		for g, flat := range o.flat {
			if flat.Shape[0] != ranks[0].flat[g].Shape[0] {
				return &LayoutError{File: o.file, Reason: fmt.Sprintf("sub-group %d has %d elements, in %q %d", g, flat.Shape[0], ranks[0].file, ranks[0].flat[g].Shape[0])}
			}
			have += flat.Shape[0]
		}
		if have != all {
			return &LayoutError{File: o.file, Reason: fmt.Sprintf("it has %d elements, the shapes in %q give %d for each of %d ranks", have, m.file, all, world)}
		}
	}
	return nil
}

// checkEnds wants a sub-group to end where a group of parameters does, since DeepSpeed
// cuts each group by itself (deepspeed runtime/zero/stage3.py, _create_fp16_sub_groups).
func checkEnds(m *zeroModel, o *zeroOptim) error {
	ends := make(map[int64]bool)
	at := int64(0)
	for _, flat := range o.flat {
		at += flat.Shape[0]
		ends[at] = true
	}
	at = 0
	for g, group := range m.groups {
		for _, p := range group {
			at += ceilDiv(p.numel(), o.world)
		}
		if at > 0 && !ends[at] {
			return &MixedError{File: o.file, Other: m.file, What: "the list of sub-groups", Has: fmt.Sprintf("without an end at element %d", at), Had: fmt.Sprintf("with one, where group %d ends", g)}
		}
	}
	return nil
}

// addFrozen3 joins the ranks' parts of frozen parameters, when they were saved.
func (c *Checkpoint) addFrozen3(models []*zeroModel) error {
	world := int64(len(models))
	for _, p := range models[0].frozen {
		t := &Tensor{Name: p.name, Shape: p.shape, grid: []int64{p.numel()}}
		part := ceilDiv(p.numel(), world)
		for r, m := range models {
			var v any
			if m.parts != nil {
				v, _ = m.parts.Get(p.name)
			}
			piece, ok := v.(*torchfile.Tensor)
			if !ok || !usable(piece) || piece.Elements() != part || r > 0 && piece.DType != t.DType {
				return &LayoutError{File: m.file, Tensor: p.name, Reason: fmt.Sprintf("frozen_param_fragments has no part of %d elements", part)}
			}
			t.DType, t.Saved = piece.DType, piece.DType
			begin := int64(r) * part
			if n := min(part, max(p.numel()-begin, 0)); n > 0 {
				t.chunks = append(t.chunks, chunk{offsets: []int64{begin}, sizes: []int64{n}, from: piece, file: m.file})
			}
		}
		if err := t.checkTiling(models[0].file); err != nil {
			return err
		}
		c.Tensors = append(c.Tensors, t)
	}
	return nil
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
