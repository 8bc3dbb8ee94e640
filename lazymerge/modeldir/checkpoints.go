package modeldir

import (
	"path/filepath"
	"strconv"
	"strings"
)

// CheckpointDirs lists the checkpoint-N directories of a training output by their names,
// oldest first, whatever they hold.
func CheckpointDirs(dir string) []string {
	steps := checkpointSteps(dir)
	names := make([]string, len(steps))
	for i, c := range steps {
		names[len(steps)-1-i] = c.name
	}
	return names
}

// CheckpointAdapters opens the adapters of one checkpoint: its own, or those that PEFT
// saved in sub-directories of their names, sorted. Each is called by its path from dir.
// A checkpoint without any gives one whose Err is an *UnhealthyError.
func CheckpointAdapters(dir, checkpoint string) ([]Adapter, error) {
	s, err := newScope(dir)
	if err != nil {
		return nil, err
	}
	real, _, err := s.resolve(filepath.Join(s.root, checkpoint))
	if err != nil {
		return nil, err
	}
	names := []string{checkpoint}
	if below := adapterDirs(real); len(below) > 0 && !looksLikeAdapter(real) && !looksLikeDiffusers(real) {
		names = names[:0]
		for _, name := range below {
			names = append(names, checkpoint+"/"+name)
		}
	}
	var adapters []Adapter
	for _, name := range names {
		a := Adapter{Name: name, Ref: filepath.Join(dir, name)}
		sub, _, err := s.resolve(filepath.Join(s.root, name))
		switch {
		case err != nil:
			a.Dir, a.Err = filepath.Join(s.root, name), err
		case !looksLikeAdapter(sub) && !looksLikeDiffusers(sub):
			a.Dir, a.Err = sub, &UnhealthyError{Path: sub, Fault: NoAdapter}
		default:
			opened, err := s.at(sub).openAdapter()
			a.Dir, a.File, a.Files, a.Err = opened.Dir, opened.File, opened.Files, err
		}
		adapters = append(adapters, a)
	}
	return adapters, nil
}

// IsCheckpoint reports whether a path is called as a checkpoint of the Trainer.
func IsCheckpoint(path string) bool {
	return checkpointName.MatchString(filepath.Base(strings.TrimRight(path, "/")))
}

// step is the number in a checkpoint's name.
func step(name string) (int64, bool) {
	m := checkpointName.FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return n, err == nil
}
