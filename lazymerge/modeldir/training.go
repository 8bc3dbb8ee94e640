package modeldir

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// checkpointName is how transformers' Trainer names a checkpoint.
var checkpointName = regexp.MustCompile(`^checkpoint-(\d{1,18})$`)

type checkpoint struct {
	name string
	step int64
}

// checkpoints lists the checkpoints of a training output that are meant to be
// adapters, newest first: the one of the highest step.
func checkpoints(dir string) []checkpoint {
	var found []checkpoint
	for _, c := range checkpointSteps(dir) {
		if holdsAdapter(filepath.Join(dir, c.name)) {
			found = append(found, c)
		}
	}
	return found
}

// checkpointSteps lists the directories that are called as checkpoints, newest first.
func checkpointSteps(dir string) []checkpoint {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var found []checkpoint
	for _, e := range entries {
		if n, ok := step(e.Name()); ok && isDir(filepath.Join(dir, e.Name())) {
			found = append(found, checkpoint{e.Name(), n})
		}
	}
	sort.Slice(found, func(i, j int) bool {
		if found[i].step != found[j].step {
			return found[i].step > found[j].step
		}
		return found[i].name < found[j].name
	})
	return found
}

// NewestHealthy chooses the newest checkpoint of a training output that can be
// used. note says which one, and which newer ones were passed over and why. Error:
// *NoCheckpointError.
func NewestHealthy(dir string) (path, note string, err error) {
	s, err := newScope(dir)
	if err != nil {
		return "", "", err
	}
	return s.newestHealthy()
}

func (s scope) newestHealthy() (path, note string, err error) {
	var skipped []Skipped
	for _, c := range checkpoints(s.root) {
		path, err := s.checkpointAdapter(c.name)
		if err == nil {
			err = s.at(path).healthy()
		}
		if err == nil {
			return path, choiceNote(s.root, path, skipped), nil
		}
		skipped = append(skipped, Skipped{Name: c.name, Err: err})
	}
	return "", "", &NoCheckpointError{Dir: s.root, Skipped: skipped}
}

// checkpointAdapter is the adapter directory of a checkpoint: itself, or the one
// sub-directory that PEFT makes for an adapter that is not called "default".
func (s scope) checkpointAdapter(name string) (string, error) {
	real, _, err := s.resolve(filepath.Join(s.root, name))
	if err != nil {
		return "", err
	}
	if looksLikeAdapter(real) || looksLikeDiffusers(real) {
		return real, nil
	}
	below := adapterDirs(real)
	if len(below) > 1 {
		return "", &UnhealthyError{Path: real, Fault: SeveralAdapters, Detail: strings.Join(below, ", ")}
	}
	sub, _, err := s.resolve(filepath.Join(real, below[0]))
	return sub, err
}

func choiceNote(root, path string, skipped []Skipped) string {
	chosen, err := filepath.Rel(root, path)
	if err != nil {
		chosen = path
	}
	if len(skipped) == 0 {
		return fmt.Sprintf("the newest checkpoint, %s, was chosen", filepath.ToSlash(chosen))
	}
	why := make([]string, len(skipped))
	for i, s := range skipped {
		why[i] = fmt.Sprintf("%s (%v)", s.Name, s.Err)
	}
	return fmt.Sprintf("%s was chosen; newer ones were passed over: %s", filepath.ToSlash(chosen), strings.Join(why, "; "))
}

// adapterDirs lists the sub-directories that are meant to be adapters, sorted.
func adapterDirs(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		sub := filepath.Join(dir, e.Name())
		if !hidden(e.Name()) && isDir(sub) && looksLikeAdapter(sub) {
			found = append(found, e.Name())
		}
	}
	return found
}
