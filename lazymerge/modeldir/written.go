package modeldir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Written lists what a training run may have saved in its output directory, by name:
// checkpoint-N directories (oldest first), then other directories that hold adapters and
// files that may be adapters, sorted; and "." when the directory is an adapter itself.
// What cannot be listed is left out.
func Written(dir string) []string {
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
		case isWeights(name) && !isAdapterFile(name), isDir(path) && holdsAdapter(path):
			names = append(names, name)
		}
	}
	if looksLikeAdapter(dir) || looksLikeDiffusers(dir) {
		names = append(names, ".")
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
