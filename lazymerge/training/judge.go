package training

import (
	"fmt"
	"slices"
	"strings"
)

// Versions from which on a library no longer does the harm.
const (
	gatheringTransformers = "5.0.0" // Trainer.save_model gathers adapters under ZeRO-3
	soundSafetensors      = "0.4.4" // writes a valid header when there are no tensors
	typedTransformers     = "5.10"  // Trainer passes on the state_dict_type of its fsdp_config
)

// Run is what is known of a training run.
type Run struct {
	Files []string // of settings that were read
	Risks []Risk
}

// Lint reads the settings of training at a path, a file or a directory, and gives what
// will leave an adapter without its values. An error is that the path cannot be read.
func Lint(path string) ([]Risk, error) {
	r, err := Read(path)
	if err != nil {
		return nil, err
	}
	return r.Risks, nil
}

// Read is Lint, and says in addition which files hold settings: none when nothing at the
// path is about training.
func Read(path string) (*Run, error) {
	f, err := find(path)
	if err != nil {
		return nil, err
	}
	r := &Run{Risks: f.risks}
	for _, risk := range f.risks {
		r.Files = append(r.Files, risk.File)
	}
	j := judge{finder: f}
	for _, s := range f.sources {
		if j.source(s) && !slices.Contains(r.Files, s.path) {
			r.Files = append(r.Files, s.path)
		}
	}
	j.contradictions()
	j.writers()
	r.Risks = append(r.Risks, j.risks...)
	slices.SortStableFunc(r.Risks, func(a, b Risk) int { return strings.Compare(a.File, b.File) })
	return r, nil
}

// judge looks at all settings of a run.
type judge struct {
	*finder
	zeros   []zero
	sharded bool // a process holds only parts of the weights
	risks   []Risk
}

func (j *judge) add(kind Kind, file string, s setting, detail string) {
	j.risks = append(j.risks, Risk{Kind: kind, File: file, Setting: s.name, Value: s.text(), Detail: detail})
}

// source judges one file by itself, and reports whether it is about training.
func (j *judge) source(s source) bool {
	found := zeros(s)
	for _, z := range found {
		j.zero(z)
	}
	j.zeros = append(j.zeros, found...)
	j.twice(s)
	f, isFSDP := fsdpOf(s)
	if isFSDP {
		j.fsdp(f)
	}
	return len(found) > 0 || isFSDP || isAccelerate(s.doc) || reference(s.doc) != "" || s.doc["zero_optimization"] != nil
}

func (j *judge) zero(z zero) {
	if z.stage.isAuto() {
		j.add(Auto, z.file, z.stage, "nothing fills it in; accelerate and transformers take stage 2")
		return
	}
	stage, _ := z.stage.number()
	if stage != 3 {
		return
	}
	j.sharded = true
	if z.stage.isText() && !z.inline {
		j.add(StageText, z.file, z.stage, "accelerate and transformers compare it with the number 3")
		return
	}
	switch {
	case z.gather.on() && strings.HasSuffix(z.gather.name, gatherOld):
		j.add(OldName, z.file, z.gather, "the name is deprecated")
	case z.gather.on():
	default:
		j.ungathered(z)
	}
}

// ungathered judges stage 3 whose gathering is off, by the version of transformers.
func (j *judge) ungathered(z zero) {
	relation, from := j.pkgs.against("transformers", gatheringTransformers)
	if relation == atLeast {
		return
	}
	detail := "the stage is 3, and the version of transformers is not known to be 5.0 or later"
	if relation == below {
		detail = fmt.Sprintf("the stage is 3, and %s says %s", from.file, from.text)
	}
	if z.gather.isAuto() {
		j.add(Auto, z.file, z.gather, "accelerate and transformers take false; "+detail)
		return
	}
	j.add(Ungathered, z.file, z.gather, detail)
}

// twice finds settings beside the name of the file that holds them too.
func (j *judge) twice(s source) {
	name := reference(s.doc)
	if !isAccelerate(s.doc) || name == "" {
		return
	}
	for _, key := range []string{"zero_stage", "zero3_save_16bit_model"} {
		v := lookup(child(s.doc, acceleratorDS), acceleratorDS+".", key)
		if v.set {
			j.add(Conflict, s.path, v, fmt.Sprintf("deepspeed_config_file names %s, which decides it; accelerate takes either, not both", name))
			return
		}
	}
}

// contradictions compares accelerate's own stage with that of the DeepSpeed config, when
// there is one of each.
func (j *judge) contradictions() {
	var inline, config []zero
	for _, z := range j.zeros {
		if z.inline {
			inline = append(inline, z)
		} else {
			config = append(config, z)
		}
	}
	if len(inline) != 1 || len(config) != 1 {
		return
	}
	a, okA := inline[0].stage.number()
	b, okB := config[0].stage.number()
	if okA && okB && a != b {
		j.add(Conflict, inline[0].file, inline[0].stage, fmt.Sprintf("%s has stage %d", config[0].file, b))
	}
}

// stateDicts are torch's names by their numbers.
var stateDicts = map[string]string{"1": "FULL_STATE_DICT", "2": "LOCAL_STATE_DICT", "3": "SHARDED_STATE_DICT"}

func (j *judge) fsdp(f fsdp) {
	kind := strings.ToUpper(strings.Trim(f.kind.text(), `"`))
	if name, ok := stateDicts[kind]; ok {
		kind = name
	}
	version, _ := f.version.number()
	switch {
	case strings.Contains(strings.ToUpper(f.final.text()), "FULL_STATE_DICT"):
		return
	case strings.HasPrefix(kind, "SHARDED"), strings.HasPrefix(kind, "LOCAL"):
		j.sharded = true
		j.add(Sharded, f.file, f.kind, "Trainer writes adapter_model.safetensors from a full state dict only")
	case kind == "" && version == 2 && !f.trainer:
		j.sharded = true
		j.add(Sharded, f.file, f.kind, "with fsdp_version 2, accelerate takes SHARDED_STATE_DICT")
	case version == 2 && f.trainer && !f.axolotl:
		j.unpassed(f)
	}
}

// unpassed judges FSDP 2 in the settings of transformers' Trainer. From 5.0 on it takes the
// version from its fsdp_config, but before 5.10 it does not pass the type on, and accelerate
// takes its default. accelerate launch sets the type from accelerate's own YAML.
func (j *judge) unpassed(f fsdp) {
	if j.launchedFSDP() {
		return
	}
	since, _ := j.pkgs.against("transformers", gatheringTransformers)
	until, from := j.pkgs.against("transformers", typedTransformers)
	if since != atLeast || until != below {
		return
	}
	j.sharded = true
	j.add(Sharded, f.file, f.kind, fmt.Sprintf("%s says %s, whose Trainer does not pass it on, "+
		"and with version 2 accelerate takes SHARDED_STATE_DICT", from.file, from.text))
}

// launchedFSDP reports whether a config of accelerate sets FSDP up.
func (j *judge) launchedFSDP() bool {
	return slices.ContainsFunc(j.sources, func(s source) bool {
		_, ok := fsdpOf(s)
		return ok && isAccelerate(s.doc)
	})
}

// writers finds a safetensors that makes an unreadable file of an empty state dict, where
// such a one can come about.
func (j *judge) writers() {
	if !j.sharded {
		return
	}
	if relation, from := j.pkgs.against("safetensors", soundSafetensors); relation == below {
		j.risks = append(j.risks, Risk{Kind: OldWriter, File: from.file, Detail: "the list of packages has " + from.text})
	}
}
