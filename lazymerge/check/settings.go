package check

import (
	"context"

	"lorafs/lazymerge/diagnose"
)

// lint says what in the settings of a training run, at a file or in a directory, will go
// wrong when it saves. known is false where nothing is about training.
func lint(path string) (found []diagnose.Finding, known bool, err error) {
	return nil, false, nil
}

// addSettings adds the settings of a training run that lie at a path, and tells whether
// any do.
func (f *finder) addSettings(path string) bool {
	found, known, err := lint(path)
	if err != nil {
		f.add(broken(path, KindTraining, err))
		return true
	}
	if !known {
		return false
	}
	f.add(subject{path: path, kind: KindTraining, look: func(context.Context, bool) []diagnose.Finding { return found }})
	return true
}
