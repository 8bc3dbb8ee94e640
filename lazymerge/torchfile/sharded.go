package torchfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"lorafs/safetensors"
)

// Sharded is a state dict in several files, as pytorch_model.bin.index.json says. A
// file is opened when a tensor of it is first asked for, and kept. It may be used by
// many goroutines at a time.
type Sharded struct {
	path  string
	files map[string]string // tensor to file, relative to the index

	mu   sync.Mutex
	open map[string]*shard
}

// shard is one open file.
type shard struct {
	file    *File
	tensors map[string]*Tensor
}

// maxIndex bounds the size of an index: one of a million tensors has some 100 MB.
const maxIndex = 256 << 20

// OpenSharded reads an index. Errors: *fs.PathError, *safetensors.IndexError, *Error of
// kind BadIndex for a file that is not below the index's directory.
func OpenSharded(indexPath string) (*Sharded, error) {
	b, err := readSmall(indexPath)
	if err != nil {
		return nil, err
	}
	x, err := safetensors.ParseIndex(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", indexPath, err)
	}
	s := &Sharded{path: indexPath, files: x.WeightMap, open: make(map[string]*shard)}
	for _, name := range x.WeightMap {
		if !cleanName(name) || strings.HasSuffix(name, "/") {
			return nil, &Error{Path: indexPath, Kind: BadIndex, Detail: fmt.Sprintf("the file name %q", shorten(name))}
		}
	}
	return s, nil
}

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxIndex {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("not a file of at most %d bytes", maxIndex)}
	}
	return os.ReadFile(path)
}

// Names lists the tensors of the index, sorted.
func (s *Sharded) Names() []string { return slices.Sorted(maps.Keys(s.files)) }

// File is the path of the file that the index says has a tensor, "" for an unknown one.
func (s *Sharded) File(name string) string {
	file := s.files[name]
	if file == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(s.path), filepath.FromSlash(file))
}

// Tensor gives a tensor of the index. Errors: those of Open; *Error of kind
// MissingRecord when the index or the file has none of the name, of BadIndex for a
// file that is a link out of the directory.
func (s *Sharded) Tensor(name string) (*Tensor, error) {
	path := s.File(name)
	if path == "" {
		return nil, &Error{Path: s.path, Kind: MissingRecord, Tensor: name}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	shard := s.open[path]
	if shard == nil {
		var err error
		if shard, err = s.openShard(path); err != nil {
			return nil, err
		}
		s.open[path] = shard
	}
	t := shard.tensors[name]
	if t == nil {
		return nil, &Error{Path: path, Kind: MissingRecord, Tensor: name}
	}
	return t, nil
}

func (s *Sharded) openShard(path string) (*shard, error) {
	if err := s.inside(path); err != nil {
		return nil, err
	}
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	state, ok := StateDict(f.Root())
	if !ok {
		return nil, errors.Join(&Error{Path: path, Kind: NotTensors, Detail: "it holds " + kindOf(f.Root())}, f.Close())
	}
	found := &shard{file: f, tensors: make(map[string]*Tensor, len(state.Tensors))}
	for _, t := range state.Tensors {
		found.tensors[t.Name] = t.Tensor
	}
	return found, nil
}

// inside refuses a file that is a link to somewhere else. Links between the files of a
// hub cache end in its blobs, which are the index's own neighbours.
func (s *Sharded) inside(path string) error {
	home, err := filepath.EvalSymlinks(filepath.Dir(s.path))
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, dir := range []string{home, blobs(home)} {
		if rel, err := filepath.Rel(dir, real); dir != "" && err == nil && filepath.IsLocal(rel) {
			return nil
		}
	}
	return &Error{Path: s.path, Kind: BadIndex, Detail: fmt.Sprintf("%s is a link to %s", path, real)}
}

// blobs is where the links of a directory in a hub cache's snapshot end, "" elsewhere.
func blobs(dir string) string {
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		snapshots := filepath.Dir(dir)
		repo := filepath.Dir(snapshots)
		if filepath.Base(snapshots) == "snapshots" && strings.HasPrefix(filepath.Base(repo), "models--") {
			return filepath.Join(repo, "blobs")
		}
	}
	return ""
}

// Unchanged asks it of the files that are open.
func (s *Sharded) Unchanged() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shard := range s.open {
		if err := shard.file.Unchanged(); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the files that are open.
func (s *Sharded) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, shard := range s.open {
		errs = append(errs, shard.file.Close())
	}
	clear(s.open)
	return errors.Join(errs...)
}
