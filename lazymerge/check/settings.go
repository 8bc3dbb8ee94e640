package check

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"lorafs/lazymerge/diagnose"
	"lorafs/lazymerge/training"
)

// addSettings adds the settings of a training run that lie at a path, a file or a
// directory, and tells whether any do.
func (f *finder) addSettings(path string) bool {
	run, err := training.Read(path)
	switch {
	case err != nil && isSettings(path):
		f.add(broken(path, KindTraining, err))
		return true
	case err != nil || len(run.Files) == 0 && !isSettings(path):
		return false
	}
	found := diagnose.Risks(run.Risks)
	f.add(subject{path: path, kind: KindTraining, look: func(context.Context, bool) []diagnose.Finding { return found }})
	return true
}

// addRisks adds the settings that lie at the path of an adapter when they will harm it.
func (f *finder) addRisks(path string) {
	if run, err := training.Read(path); err == nil && len(run.Risks) > 0 {
		f.addSettings(path)
	}
}

// isSettings tells by its name whether a file lists the packages of a run: one that is
// well leads to no file of settings.
func isSettings(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	if strings.HasPrefix(name, "requirements") || strings.HasSuffix(name, ".lock") {
		return true
	}
	return slices.Contains([]string{"environment.yml", "environment.yaml", "pyproject.toml", "freeze.txt", "pip-freeze.txt"}, name)
}
