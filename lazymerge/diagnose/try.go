package diagnose

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"lorafs/lazymerge/checkpoint"
	"lorafs/lazymerge/recovery"
)

// maxBelow is of how many directories one may be that of a step.
const maxBelow = 50

// plainState is a file of a whole model.
var plainState = regexp.MustCompile(`^(pytorch_model\.bin|model\.safetensors)(\.index\.json)?$`)

// need is what recover has to be told of a checkpoint.
type need struct {
	flag string // with its value
	why  string // a sentence, for people
}

// try finds out whether recover can make an adapter of the checkpoint, and what it needs,
// unless nothing is left of what may be tried.
func (s *shards) try(left *int) bool {
	if s.part {
		return true
	}
	if *left == 0 {
		return false
	}
	*left--
	o := recovery.Options{}
	for s.err = recovery.Try(s.path, o); s.err != nil; s.err = recovery.Try(s.path, o) {
		n, ok := s.needed(&o)
		if !ok {
			break
		}
		if s.needs = append(s.needs, n); o.Config != "" { // one that is to be found
			s.err = nil
			return true
		}
	}
	var ranks *checkpoint.RanksError
	switch {
	case errors.Is(s.err, checkpoint.ErrLarge):
		s.large, s.err = true, nil
	case errors.As(s.err, &ranks):
		s.part, s.what = true, fmt.Sprintf("%s; %v", s.what, ranks)
	}
	return true
}

// needed changes the options that failed with s.err to those with which recover may do.
func (s *shards) needed(o *recovery.Options) (n need, ok bool) {
	var (
		ranks  *checkpoint.RanksError
		alpha  *recovery.AlphaError
		config *recovery.ConfigError
		choice *recovery.ChoiceError
	)
	switch {
	case errors.As(s.err, &ranks) && ranks.OneFile && o.DType != recovery.Saved:
		o.DType, s.half = recovery.Saved, true
		return need{"--dtype saved", "Of the optimizer files are missing, so the values are those that the model computed with."}, true
	case errors.As(s.err, &alpha) && o.Alpha == "":
		o.Alpha = "1"
		return need{"--alpha ALPHA", "There is no adapter_config.json, and lora_alpha is in no tensor: it has to be said."}, true
	case errors.As(s.err, &config):
		o.Config = "adapter_config.json"
		return need{"--config " + o.Config, "There is no adapter_config.json: it has to come from another checkpoint or from the training script."}, true
	case errors.As(s.err, &choice) && o.Adapter == "":
		o.Adapter = s.readiest(choice.Names)
		return need{"--adapter " + Quote(o.Adapter), fmt.Sprintf("It holds several adapters (%s), of which one has to be named.", strings.Join(choice.Names, ", "))}, true
	}
	return need{}, false
}

// readiest is the adapter of several that can be rebuilt without more.
func (s *shards) readiest(names []string) string {
	for _, name := range names {
		if recovery.Try(s.path, recovery.Options{Adapter: name}) == nil {
			return name
		}
	}
	return names[0]
}

// usable tells whether an adapter can be rebuilt, whole whether all its values are there.
func (s shards) usable() bool { return !s.part && s.err == nil }
func (s shards) whole() bool  { return s.usable() && !s.half }

// flags are what recover needs, with a space behind, "" for nothing.
func (s shards) flags() string {
	text := ""
	for _, n := range s.needs {
		text += n.flag + " "
	}
	return text
}

// intro introduces the command that rebuilds the adapter.
func (s shards) intro() string {
	text := ""
	for _, n := range s.needs {
		text += n.why + " "
	}
	return text + "This rebuilds the adapter from it:"
}

// stateIn finds what the others do not: files of a step in a directory of another name, and
// a whole model in training. Both count only if an adapter can be rebuilt.
func stateIn(root string, left *int) (shards, bool) {
	var paths []string
	names := listDir(root)
	if slices.ContainsFunc(names, func(n string) bool { return checkpoint.IsStepFile(n) || plainState.MatchString(n) }) {
		paths = []string{root}
	}
	for _, name := range names[:min(len(names), maxBelow)] {
		below := filepath.Join(root, name)
		if files := listDir(below); slices.ContainsFunc(files, checkpoint.IsStepFile) &&
			!checkpointStep.MatchString(name) && !slices.Contains(files, "adapter_config.json") { // of another run
			paths = append(paths, below)
		}
	}
	for _, path := range paths {
		s := shards{root: root, path: path, what: "a training checkpoint is near, in " + path}
		if s.try(left) && s.usable() && !s.large {
			return s, true
		}
	}
	return shards{}, false
}
