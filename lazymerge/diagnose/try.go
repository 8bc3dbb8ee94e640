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

// stepFile is a file in the directory of a step, plainState one of a whole model.
var (
	stepFile   = regexp.MustCompile(`^(.*_(optim|model)_states\.pt|\.metadata|.*\.distcp)$`)
	plainState = regexp.MustCompile(`^(pytorch_model\.bin|model\.safetensors)(\.index\.json)?$`)
)

// try finds out whether recover can make an adapter of the checkpoint, and what it needs.
func (s *shards) try() {
	if s.part {
		return
	}
	s.err = recovery.Try(s.path, recovery.Options{})
	if s.large = errors.Is(s.err, checkpoint.ErrLarge); s.large {
		s.err = nil
	}
	var ranks *checkpoint.RanksError
	if !errors.As(s.err, &ranks) {
		return
	}
	if err := recovery.Try(s.path, recovery.Options{DType: recovery.Saved}); err == nil {
		s.half, s.err = true, nil
		return
	}
	s.part, s.what = true, fmt.Sprintf("%s; %v", s.what, ranks)
}

// usable tells whether an adapter can be rebuilt, whole whether all its values are there.
func (s shards) usable() bool {
	flag, _ := s.needs()
	return !s.part && (s.err == nil || flag != "")
}

func (s shards) whole() bool { return s.usable() && !s.half }

// needs is the flag without which recover does not do, "" for none, and how a command
// with it is introduced.
func (s shards) needs() (flag, intro string) {
	var (
		alpha  *recovery.AlphaError
		config *recovery.ConfigError
		choice *recovery.ChoiceError
	)
	switch {
	case s.half:
		return "--dtype saved", "Of the optimizer files are missing; this rebuilds the adapter from the values that the model computed with:"
	case errors.As(s.err, &alpha):
		return "--alpha ALPHA", "There is no adapter_config.json, and lora_alpha is in no tensor: it has to be said. This rebuilds the adapter:"
	case errors.As(s.err, &config):
		return "--config adapter_config.json", "There is no adapter_config.json; with that of another checkpoint or of the training script this rebuilds the adapter:"
	case errors.As(s.err, &choice) && len(choice.Names) > 0:
		return "--adapter " + Quote(choice.Names[0]), fmt.Sprintf("It holds several adapters (%s). This rebuilds one of them:", strings.Join(choice.Names, ", "))
	}
	return "", "This rebuilds the adapter from it:"
}

// stateIn finds what the others do not: files of a step in a directory of another name, and
// a whole model in training. Both count only if an adapter can be rebuilt.
func stateIn(root string) (shards, bool) {
	var paths []string
	names := listDir(root)
	if slices.ContainsFunc(names, func(n string) bool { return stepFile.MatchString(n) || plainState.MatchString(n) }) {
		paths = []string{root}
	}
	for _, name := range names[:min(len(names), maxBelow)] {
		below := filepath.Join(root, name)
		if files := listDir(below); slices.ContainsFunc(files, stepFile.MatchString) &&
			!checkpointStep.MatchString(name) && !slices.Contains(files, "adapter_config.json") { // of another run
			paths = append(paths, below)
		}
	}
	for _, path := range paths {
		s := shards{root: root, path: path, what: "a training checkpoint is near, in " + path}
		if s.try(); s.usable() && !s.large {
			return s, true
		}
	}
	return shards{}, false
}
