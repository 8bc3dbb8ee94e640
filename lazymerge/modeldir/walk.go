package modeldir

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
)

// Bounds of one input. The largest published models have some hundred shards.
const (
	maxFiles = 50_000
	maxDepth = 12
)

// lister collects the files of a base directory.
type lister struct {
	scope   scope
	weights map[string]bool // tree paths of the shards and indices that were chosen
	keepDir map[string]bool // directories whose own safetensors belong to the model
	files   []File
	leftOut []string
	seen    int
}

// list walks one directory; dir is its tree path.
func (l *lister) list(dir string, depth int) error {
	host := filepath.Join(l.scope.root, filepath.FromSlash(dir))
	if depth > maxDepth {
		return &LimitError{Path: l.scope.root, What: "directory levels", Limit: maxDepth}
	}
	entries, err := os.ReadDir(host)
	if err != nil {
		if dir == "" {
			return err
		}
		l.skip(dir+"/", unreadable)
		return nil
	}
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		if l.seen++; l.seen > maxFiles {
			return &LimitError{Path: l.scope.root, What: "files", Limit: maxFiles}
		}
		if err := l.entry(path.Join(dir, e.Name()), e, depth); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) entry(p string, e fs.DirEntry, depth int) error {
	if e.IsDir() {
		if reason := leftOutDir(p); reason != "" && !l.holdsWeights(p) {
			l.skip(p+"/", reason)
			return nil
		}
		return l.list(p, depth+1)
	}
	if l.weights[p] {
		return nil
	}
	if reason := leftOutFile(p); reason != "" && !l.kept(p) {
		l.skip(p, reason)
		return nil
	}
	f, err := l.scope.treeFile(p)
	if err != nil {
		l.skip(p, skipReason(err))
		return nil
	}
	l.files = append(l.files, f)
	return nil
}

// treeFile is the file at a tree path.
func (s scope) treeFile(p string) (File, error) {
	real, info, err := s.file(filepath.Join(s.root, filepath.FromSlash(p)))
	if err != nil {
		return File{}, err
	}
	return File{Path: p, Host: real, Size: info.Size(), ModTime: info.ModTime()}, nil
}

func skipReason(err error) string {
	var link *LinkError
	var kind *FileKindError
	switch {
	case errors.As(err, &link):
		return leaves
	case errors.As(err, &kind) && kind.Mode.IsDir():
		return linkedDir
	case errors.As(err, &kind):
		return notRegular
	case errors.Is(err, fs.ErrNotExist):
		return danglingLink
	}
	return unreadable
}

func (l *lister) kept(p string) bool {
	return l.keepDir[path.Dir(p)] && path.Ext(p) == ".safetensors"
}

func (l *lister) holdsWeights(dir string) bool {
	for w := range l.weights {
		if within(dir, w) {
			return true
		}
	}
	return false
}

func (l *lister) skip(p, reason string) { l.leftOut = append(l.leftOut, p+": "+reason) }

func (l *lister) sort() {
	sort.Slice(l.files, func(i, j int) bool { return l.files[i].Path < l.files[j].Path })
	sort.Strings(l.leftOut)
}
