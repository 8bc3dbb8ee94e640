package modeldir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Written lists what a training run may have saved in its output directory, by name:
// checkpoint-N directories (oldest first), then other directories that hold adapters and
// files that may be adapters, sorted; and "." when the directory is an adapter itself. In
// place of a sub-directory that is an output as well stands what Written would list of
// it, as "v0/checkpoint-500" and "v0/."; outputs below that one are not looked for.
// What cannot be listed is left out.
func Written(dir string) []string { return written(dir, true) }

func written(dir string, below bool) []string {
	names := CheckpointDirs(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(dir, name)
		switch {
		case hidden(name) || strings.HasPrefix(name, "tmp-") || checkpointName.MatchString(name):
		case below && len(checkpointSteps(path)) > 0:
			for _, n := range written(path, false) {
				names = append(names, name+"/"+n)
			}
		case isWeights(name) && !isAdapterFile(name), isDir(path) && holdsAdapter(path):
			names = append(names, name)
		}
	}
	if looksLikeAdapter(dir) || looksLikeDiffusers(dir) {
		names = append(names, ".")
	}
	return names
}

// OutputDirs lists the sub-directories that are outputs of training runs, by the
// checkpoint-N directories in them, whatever those hold. Links are not followed.
func OutputDirs(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() && !hidden(name) && !checkpointName.MatchString(name) && len(checkpointSteps(filepath.Join(dir, name))) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// holdsAdapter reports whether a directory is meant to be an adapter, or holds some.
func holdsAdapter(dir string) bool {
	return looksLikeAdapter(dir) || looksLikeDiffusers(dir) || len(adapterDirs(dir)) > 0
}

// AdapterFiles lists the files of an adapter directory that say how it is read, by name:
// its config and its weights.
func AdapterFiles() []string { return slices.Concat(diffusersFiles, adapterFiles) }
