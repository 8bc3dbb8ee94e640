package checkpoint

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// zeroDir is a directory of DeepSpeed's rank files. Their names tell the rank.
type zeroDir struct {
	dir    string
	optim  []string // by rank; "" where the file is missing
	model  []string // by rank when ranked, else one
	ranked bool     // each rank has a model file, as at stage 3
}

// param is a name and a shape; their order is the layout.
type param struct {
	name  string
	shape []int64
}

func (p param) numel() int64 { return product(p.shape) }

// openModels sorts the files of a directory by their ranks and reads the model states.
func (c *Checkpoint) openModels(dir string, names []string) (*zeroDir, []*zeroModel, error) {
	if err := refuseLayers(dir, names); err != nil {
		return nil, nil, err
	}
	files, err := groupByRank(dir, names)
	if err != nil {
		return nil, nil, err
	}
	models, err := c.readModels(files)
	return files, models, err
}

// openZero opens the directory of a step.
func (c *Checkpoint) openZero(dir string, names []string, v Values) error {
	files, models, err := c.openModels(dir, names)
	if err != nil {
		return err
	}
	m := models[0]
	if m.groups == nil && v == Masters && m.halves() {
		c.Notes = append(c.Notes, fmt.Sprintf("%q has no fp32 values of an optimizer under the names of parameters; those that the model computed with were taken", m.file))
	}
	switch {
	case m.groups == nil || v == Model && !files.ranked:
		// Stage 0, or what the model computed with: one file holds all values.
		c.Kind = fmt.Sprintf("DeepSpeed model states of %d ranks", max(m.world, 1))
		return c.addModule(m)
	case len(files.optim) == 0:
		return &RanksError{Dir: dir, Files: "optimizer states", Want: int(m.world), By: m.file, OneFile: !files.ranked}
	}
	if err := files.complete(files.optim); err != nil {
		return err
	}
	optims, err := c.readOptims(files, m)
	if err != nil {
		return err
	}
	c.noteSteps(m, optims[0])
	stage, world := optims[0].stage, len(optims)
	c.Kind = fmt.Sprintf("DeepSpeed ZeRO stage %d of %d ranks", stage, world)
	if files.ranked != (stage == 3) {
		return &LayoutError{File: optims[0].file, Reason: fmt.Sprintf("it is of stage %d, whose model states are named otherwise than %q", stage, filepath.Base(m.file))}
	}
	if stage == 3 {
		if len(models) != world {
			return &RanksError{Dir: dir, Files: "model states", Have: len(models), Want: world, By: optims[0].file, Missing: missingRanks(files.model, world)}
		}
		return c.addZero3(models, optims)
	}
	return c.addZero12(m, optims)
}

// halves tells whether the model has values in less than fp32.
func (m *zeroModel) halves() bool {
	for _, v := range m.module.All() {
		if t, ok := v.(*torchfile.Tensor); ok && (t.DType == safetensors.BF16 || t.DType == safetensors.F16) {
			return true
		}
	}
	return false
}

// noteSteps compares how far the optimizer and the model say they are. A run that went on
// with a new optimizer differs, too.
func (c *Checkpoint) noteSteps(m *zeroModel, o *zeroOptim) {
	if o.step == "" || m.updates == "" || o.step == m.updates || m.fresh {
		return
	}
	c.Notes = append(c.Notes, fmt.Sprintf("the optimizer in %q has done %s steps, the model in %q %s: unless the run was resumed with a new optimizer, the files are of two savings",
		filepath.Base(o.file), o.step, filepath.Base(m.file), m.updates))
}

// refuseLayers refuses models whose layers or experts have files of their own.
func refuseLayers(dir string, names []string) error {
	for _, name := range names {
		if layerName.MatchString(name) {
			return &UnsupportedError{File: filepath.Join(dir, name), Reason: "layers or experts have files of their own (pipeline or expert parallel), and the parts are not put together"}
		}
	}
	return nil
}

// groupByRank sorts the files of a directory by the ranks in their names.
func groupByRank(dir string, names []string) (*zeroDir, error) {
	z := &zeroDir{dir: dir}
	var single string
	for _, name := range names {
		path := filepath.Join(dir, name)
		if m := optimName.FindStringSubmatch(name); m != nil {
			if err := place(&z.optim, m[1], m[2], path); err != nil {
				return nil, err
			}
		}
		switch m := modelName.FindStringSubmatch(name); {
		case m == nil:
		case m[1] != "":
			if err := place(&z.model, m[1], m[2], path); err != nil {
				return nil, err
			}
			z.ranked = true
		default:
			if err := place(new([]string), "0", m[2], path); err != nil {
				return nil, err
			}
			single = path
		}
	}
	if z.ranked && single != "" {
		return nil, &MixedError{File: single, Other: z.model[len(z.model)-1], What: "the stage", Has: "2 or lower", Had: "3"}
	}
	if !z.ranked && single != "" {
		z.model = []string{single}
	}
	if len(z.model) == 0 {
		return nil, &RanksError{Dir: dir, Files: "model states", Want: 1, By: "each step", Missing: []string{
			"mp_rank_00_model_states.pt (of stage 3 zero_pp_rank_0_mp_rank_00_model_states.pt)"}}
	}
	return z, z.complete(z.model)
}

// maxMissing bounds the list of files that are not there.
const maxMissing = 1000

// maxRanks bounds the table of files that one name with a high rank asks for.
const maxRanks = 1 << 20

func place(files *[]string, rank, shard, path string) error {
	n, err := strconv.Atoi(rank)
	if mp, mpErr := strconv.Atoi(shard); mpErr != nil || mp > 0 {
		return &UnsupportedError{File: path, Reason: "the model is split over ranks (tensor parallel), and the parts are not put together"}
	}
	if err != nil || n >= maxRanks {
		return &UnsupportedError{File: path, Reason: "no such number of ranks is known"}
	}
	for len(*files) <= n {
		*files = append(*files, "")
	}
	if have := (*files)[n]; have != "" {
		return &MixedError{File: path, Other: have, What: "the rank", Has: rank, Had: rank + " as well"}
	}
	(*files)[n] = path
	return nil
}

// complete checks that no rank below the highest is missing.
func (z *zeroDir) complete(files []string) error {
	var missing []string
	named, have := "", 0
	for _, f := range files {
		if f != "" {
			named = f
			have++
		}
	}
	for rank, f := range files {
		if f == "" && len(missing) < maxMissing {
			missing = append(missing, withRank(filepath.Base(named), rank))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &RanksError{Dir: z.dir, Files: "ranks", Have: have, Want: len(files), By: fmt.Sprintf("%q", filepath.Base(named)), Missing: missing, OneFile: !z.ranked}
}

// missingRanks names the files of the ranks from the last that is there to world.
func missingRanks(files []string, world int) []string {
	var missing []string
	for rank := len(files); rank > 0 && rank < world && len(missing) < maxMissing; rank++ {
		missing = append(missing, withRank(filepath.Base(files[0]), rank))
	}
	return missing
}

// withRank is the name of another rank's file.
func withRank(name string, rank int) string {
	for _, pattern := range []*regexp.Regexp{optimName, modelName} {
		if m := pattern.FindStringSubmatchIndex(name); m != nil && m[2] >= 0 {
			return name[:m[2]] + strconv.Itoa(rank) + name[m[3]:]
		}
	}
	return name
}

// zeroModel is a rank's model states.
type zeroModel struct {
	file    string
	world   int64 // of data parallel ranks
	version string
	steps   string
	updates string    // steps that changed the parameters, "" when it is not said
	fresh   bool      // no step of training was done
	groups  [][]param // in the order of the flat tensors; nil without an optimizer of ZeRO
	frozen  []param
	parts   *pickle.Dict // frozen_param_fragments
	module  *pickle.Dict
	buffers []string
	shared  [][2]string // alias, name
}

func (c *Checkpoint) readModels(z *zeroDir) ([]*zeroModel, error) {
	var all []*zeroModel
	for _, path := range z.model {
		m, err := c.readModel(path)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
		if err := m.agrees(all[0]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (c *Checkpoint) readModel(path string) (*zeroModel, error) {
	f, err := c.openTorch(path)
	if err != nil {
		return nil, err
	}
	if _, err := keepsName(path, f.Folder()); err != nil {
		return nil, err
	}
	root, ok := f.Root().(*pickle.Dict)
	if !ok {
		return nil, &LayoutError{File: path, Reason: "it holds " + kindOf(f.Root()) + " and no model states"}
	}
	in := &fields{file: path, dict: root}
	m := &zeroModel{file: path, world: 1}
	if err := refuseParallel(in); err != nil {
		return nil, err
	}
	m.module, _ = in.get("module").(*pickle.Dict)
	if m.module == nil {
		in.fail("module", "a dict", in.get("module"))
	}
	m.world, _ = integer(in.get("dp_world_size"))
	m.version, m.steps = scalar(in.get("ds_version")), scalar(in.get("global_steps"))
	done, okDone := integer(in.get("global_steps"))
	skipped, _ := integer(in.get("skipped_steps"))
	m.fresh = okDone && done <= skipped
	if okDone && done >= skipped && skipped >= 0 {
		m.updates = strconv.FormatInt(done-skipped, 10)
	}
	m.groups = in.groups("param_shapes")
	m.frozen = in.params("frozen_param_shapes", in.get("frozen_param_shapes"))
	m.parts, _ = in.get("frozen_param_fragments").(*pickle.Dict)
	for _, name := range in.list("buffer_names") {
		if s, ok := name.(string); ok {
			m.buffers = append(m.buffers, s)
		}
	}
	if d, ok := in.get("shared_params").(*pickle.Dict); ok {
		for alias, name := range d.All() {
			a, okA := alias.(string)
			n, okN := name.(string)
			if okA && okN {
				m.shared = append(m.shared, [2]string{a, n})
			}
		}
	}
	return m, in.err
}

// refuseParallel refuses models that are split in ways that ranks of data do not tell.
func refuseParallel(in *fields) error {
	if n, ok := integer(in.get("mp_world_size")); ok && n > 1 {
		return &UnsupportedError{File: in.file, Reason: fmt.Sprintf("the model is split over %d ranks (tensor parallel), and the parts are not put together", n)}
	}
	for _, key := range []string{"ds_autoep_layers", "autoep_layers"} {
		for _, layer := range in.list(key) {
			d, ok := layer.(*pickle.Dict)
			if !ok {
				continue
			}
			if format, _ := d.Get("checkpoint_format"); format == "zero3_partitioned" {
				return &UnsupportedError{File: in.file, Reason: "experts are partitioned among groups of ranks (AutoEP), and the parts are not put together"}
			}
		}
	}
	return nil
}

// groups reads param_shapes: a list of dicts, in old versions one dict.
func (f *fields) groups(key string) [][]param {
	v := f.get(key)
	if v == nil {
		return nil
	}
	items, ok := sequence(v)
	if !ok {
		items = []any{v}
	}
	groups := make([][]param, 0, len(items))
	seen := make(map[string]bool)
	for _, item := range items {
		group := f.params(key, item)
		for _, p := range group {
			if seen[p.name] && f.err == nil {
				f.err = &LayoutError{File: f.file, Tensor: p.name, Reason: "it occurs twice in " + key}
			}
			seen[p.name] = true
		}
		groups = append(groups, group)
	}
	return groups
}

func (f *fields) params(key string, v any) []param {
	if v == nil {
		return nil
	}
	d, ok := v.(*pickle.Dict)
	if !ok {
		f.fail(key, "a dict of shapes", v)
		return nil
	}
	var list []param
	for k, v := range d.All() {
		name, okName := k.(string)
		dims, okShape := shape(v)
		if !okName || !okShape {
			f.fail(key, "a dict of shapes", v)
			return nil
		}
		list = append(list, param{name, dims})
	}
	return list
}

// agrees checks that two ranks' model states are of one saving.
func (m *zeroModel) agrees(o *zeroModel) error {
	for _, x := range []struct{ what, has, had string }{
		{"the version of DeepSpeed", m.version, o.version},
		{"the number of steps", m.steps, o.steps},
		{"the number of ranks", fmt.Sprint(m.world), fmt.Sprint(o.world)},
		{"the list of trained parameters", layoutText(m.groups), layoutText(o.groups)},
		{"the list of frozen parameters", layoutText([][]param{m.frozen}), layoutText([][]param{o.frozen})},
	} {
		if x.has != x.had {
			return &MixedError{File: m.file, Other: o.file, What: x.what, Has: x.has, Had: x.had}
		}
	}
	return nil
}

func layoutText(groups [][]param) string {
	if len(groups) == 0 {
		return "none"
	}
	return fmt.Sprint(groups)
}

// addModule adds what the one file of model states holds, as it is.
func (c *Checkpoint) addModule(m *zeroModel) error {
	trained := make(map[string]bool)
	for _, g := range m.groups {
		for _, p := range g {
			trained[p.name] = true
		}
	}
	byName := make(map[string]*Tensor)
	for k, v := range m.module.All() {
		name, okName := k.(string)
		t, okTensor := v.(*torchfile.Tensor)
		if !okName || !okTensor {
			continue
		}
		out, err := whole(name, m.file, t)
		if err != nil {
			return err
		}
		out.Trained = trained[name]
		c.Tensors = append(c.Tensors, out)
		byName[name] = out
	}
	for _, g := range m.groups {
		for _, p := range g {
			t := byName[p.name]
			if t == nil || !slices.Equal(t.Shape, p.shape) {
				return &LayoutError{File: m.file, Tensor: p.name, Reason: fmt.Sprintf("module has no such tensor of shape %v", p.shape)}
			}
		}
	}
	return nil
}

// addBuffers adds the model's buffers.
func (c *Checkpoint) addBuffers(m *zeroModel) error {
	for _, name := range m.buffers {
		v, _ := m.module.Get(name)
		t, ok := v.(*torchfile.Tensor)
		if !ok {
			continue
		}
		out, err := whole(name, m.file, t)
		if err != nil {
			return err
		}
		out.Buffer = floating(t.DType)
		c.Tensors = append(c.Tensors, out)
	}
	return nil
}

// addShared gives the aliases of shared parameters their tensors.
func (c *Checkpoint) addShared(m *zeroModel) {
	byName := make(map[string]*Tensor, len(c.Tensors))
	for _, t := range c.Tensors {
		byName[t.Name] = t
	}
	for _, pair := range m.shared {
		t := byName[pair[1]]
		if t == nil || byName[pair[0]] != nil {
			continue
		}
		alias := *t
		alias.Name, alias.Alias = pair[0], pair[1]
		byName[alias.Name] = &alias
		c.Tensors = append(c.Tensors, &alias)
	}
}

// modelDType is the dtype that the model has a trained parameter in: placeholders of
// partitioned parameters have it too.
func (m *zeroModel) modelDType(name string, otherwise safetensors.DType) safetensors.DType {
	v, _ := m.module.Get(name)
	if t, ok := v.(*torchfile.Tensor); ok {
		return t.DType
	}
	return otherwise
}
