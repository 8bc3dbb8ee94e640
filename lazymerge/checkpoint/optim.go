package checkpoint

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/torchfile/pickle"
)

// zeroOptim is a rank's optimizer states: the flat tensors of its part of each group.
type zeroOptim struct {
	file     string
	stage    int64
	world    int64
	version  string
	flat     []*torchfile.Tensor
	paddings [][]int64      // behind each parameter, by group; nil when there are none
	slices   []*pickle.Dict // param_slice_mappings
	nameless bool           // nothing in the file tells the rank that wrote it
	step     string         // of the optimizer, "" when it is not said
	facts    []fact         // what the ranks of one saving have in common
}

// fact is something that two files can be compared by.
type fact struct{ what, value string }

func (c *Checkpoint) readOptims(z *zeroDir, m *zeroModel) ([]*zeroOptim, error) {
	var all []*zeroOptim
	for _, path := range z.optim {
		o, err := c.readOptim(path)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
		if err := o.agrees(all[0]); err != nil {
			return nil, err
		}
	}
	first := all[0]
	if int(first.world) != len(all) {
		e := &RanksError{Dir: z.dir, Files: "optimizer states", Have: len(all), Want: int(first.world), By: fmt.Sprintf("%q", filepath.Base(first.file)), OneFile: !z.ranked}
		for rank := len(all); rank < int(min(first.world, int64(len(all)+maxMissing))); rank++ {
			e.Missing = append(e.Missing, withRank(filepath.Base(first.file), rank))
		}
		return nil, e
	}
	if m.world != 0 && m.world != first.world {
		return nil, &MixedError{File: m.file, Other: first.file, What: "the number of ranks", Has: fmt.Sprint(m.world), Had: fmt.Sprint(first.world)}
	}
	if m.version != "None" && first.version != "None" && m.version != first.version {
		return nil, &MixedError{File: m.file, Other: first.file, What: "the version of DeepSpeed", Has: m.version, Had: first.version}
	}
	return all, nil
}

// keepsName refuses a rank's file that torch saved under the name of another: at stage 3
// nothing else in it tells the ranks apart. known is false where torch was given no name.
func keepsName(path, folder string) (known bool, err error) {
	name := strings.TrimSuffix(filepath.Base(path), ".pt")
	if !strings.HasSuffix(folder, "_states") || folder == name {
		return folder == name, nil
	}
	return true, &MixedError{File: path, Other: filepath.Join(filepath.Dir(path), folder+".pt"), What: "the name under which it was saved", Has: folder, Had: name}
}

func (c *Checkpoint) readOptim(path string) (*zeroOptim, error) {
	f, err := c.openTorch(path)
	if err != nil {
		return nil, err
	}
	named, err := keepsName(path, f.Folder())
	if err != nil {
		return nil, err
	}
	root, ok := f.Root().(*pickle.Dict)
	if !ok {
		return nil, &LayoutError{File: path, Reason: "it holds " + kindOf(f.Root()) + " and no optimizer states"}
	}
	outer := &fields{file: path, dict: root}
	in := outer.child("optimizer_state_dict")
	o := &zeroOptim{file: path, nameless: !named, version: scalar(outer.get("ds_version"))}
	o.stage = in.stage()
	o.world = in.partitionCount()
	key := "single_partition_of_fp32_groups"
	if o.stage == 3 {
		key = "fp32_flat_groups"
	}
	o.flat = in.flatTensors(key)
	o.readPaddings(in)
	for _, item := range in.list("param_slice_mappings") {
		d, _ := item.(*pickle.Dict)
		o.slices = append(o.slices, d)
	}
	o.collectFacts(in)
	return o, in.err
}

// stage reads zero_stage. DeepSpeed's optimizer for bf16 writes none, and its flat
// tensors like those of stage 1.
func (f *fields) stage() int64 {
	v := f.get("zero_stage")
	if v == nil && f.get("single_partition_of_fp32_groups") != nil {
		return 1
	}
	n, ok := integer(v)
	if !ok || n < 1 || n > 3 {
		f.fail("zero_stage", "1, 2 or 3", v)
	}
	return n
}

// partitionCount is the number of ranks: one number, or one a group, which differ where
// experts have groups of ranks of their own.
func (f *fields) partitionCount() int64 {
	v := f.get("partition_count")
	items, ok := sequence(v)
	if !ok {
		items = []any{v}
	}
	first := int64(0)
	for i, item := range items {
		n, ok := integer(item)
		if !ok || n < 1 {
			f.fail("partition_count", "a number of ranks", item)
			return 0
		}
		if i > 0 && n != first && f.err == nil {
			f.err = &UnsupportedError{File: f.file, Reason: fmt.Sprintf("groups of parameters are partitioned among %d and %d ranks (experts), and the parts are not put together", first, n)}
		}
		first = n
	}
	if len(items) == 0 {
		f.fail("partition_count", "a number of ranks", v)
	}
	return first
}

func (f *fields) flatTensors(key string) []*torchfile.Tensor {
	var flat []*torchfile.Tensor
	for _, item := range f.list(key) {
		t, ok := item.(*torchfile.Tensor)
		switch {
		case !ok:
			f.fail(key, "a list of tensors", item)
			return nil
		case len(t.Shape) != 1 || t.Shape[0] < 0 || !usable(t) || !floating(t.DType):
			f.fail(key, "a list of vectors", t)
			return nil
		}
		flat = append(flat, t)
	}
	if f.get(key) == nil {
		f.fail(key, "a list of vectors", nil)
	}
	return flat
}

func (o *zeroOptim) readPaddings(in *fields) {
	const key = "param_alignment_paddings"
	for _, item := range in.list(key) {
		group, ok := shape(item)
		if !ok {
			in.fail(key, "lists of numbers", item)
			return
		}
		o.paddings = append(o.paddings, group)
	}
}

// collectFacts takes what all ranks of one saving have in common.
func (o *zeroOptim) collectFacts(in *fields) {
	o.facts = append(o.facts,
		fact{"the stage", fmt.Sprint(o.stage)},
		fact{"the number of ranks", fmt.Sprint(o.world)},
		fact{"the version of DeepSpeed", o.version},
		fact{"the number of groups", fmt.Sprint(len(o.flat))},
		fact{"the padding between parameters", fmt.Sprint(o.paddings)},
		fact{"the loss scale", scalar(in.get("dynamic_loss_scale"))},
	)
	for _, key := range []string{"base_optimizer_state", "optimizer_state_dict"} {
		inner, ok := in.get(key).(*pickle.Dict)
		if !ok {
			continue
		}
		opt := &fields{file: o.file, dict: inner}
		if d, ok := opt.get("state").(*pickle.Dict); ok {
			for k, v := range d.All() {
				if state, ok := v.(*pickle.Dict); ok {
					step, _ := state.Get("step")
					o.facts = append(o.facts, fact{"the step of the optimizer's group " + scalar(k), scalar(step)})
					if _, err := strconv.ParseFloat(scalar(step), 64); err == nil {
						o.step = scalar(step)
					}
				}
			}
		}
		for i, item := range opt.list("param_groups") {
			if group, ok := item.(*pickle.Dict); ok {
				rate, _ := group.Get("lr")
				o.facts = append(o.facts, fact{fmt.Sprintf("the learning rate of group %d", i), scalar(rate)})
			}
		}
	}
}

// agrees checks that two ranks' optimizer states are of one saving.
func (o *zeroOptim) agrees(first *zeroOptim) error {
	for _, f := range first.facts {
		i := slices.IndexFunc(o.facts, func(x fact) bool { return x.what == f.what })
		if i >= 0 && o.facts[i].value != f.value {
			return &MixedError{File: o.file, Other: first.file, What: f.what, Has: o.facts[i].value, Had: f.value}
		}
	}
	for g, t := range o.flat {
		if t.DType != first.flat[g].DType {
			return &MixedError{File: o.file, Other: first.file, What: "the dtype", Has: t.DType.String(), Had: first.flat[g].DType.String()}
		}
	}
	return nil
}
