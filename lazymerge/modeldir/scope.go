package modeldir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// scope is one directory of an input and where its files may lie on disk.
type scope struct {
	root    string   // the real directory
	allowed []string // real directories that links may end in
}

// newScope resolves dir itself, which may be a link to anywhere: its user named it.
func newScope(dir string) (scope, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return scope{}, err
	}
	root, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return scope{}, err
	}
	s := scope{root: root, allowed: []string{root}}
	if blobs := snapshotBlobs(root); blobs != "" {
		s.allowed = append(s.allowed, blobs)
	}
	return s, nil
}

// snapshotBlobs is where the files of a hub snapshot lie, when dir is in one.
func snapshotBlobs(dir string) string {
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		snapshots := filepath.Dir(dir)
		repo := filepath.Dir(snapshots)
		if filepath.Base(snapshots) == "snapshots" && strings.HasPrefix(filepath.Base(repo), "models--") {
			return filepath.Join(repo, "blobs")
		}
	}
	return ""
}

// at is the scope of a real directory inside of s: its links may end wherever
// those of s may.
func (s scope) at(dir string) scope { return scope{root: dir, allowed: s.allowed} }

// file resolves a path in the scope to a regular file. Errors: *LinkError,
// *FileKindError, *fs.PathError.
func (s scope) file(path string) (string, fs.FileInfo, error) {
	real, info, err := s.resolve(path)
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, &FileKindError{Path: path, Mode: info.Mode()}
	}
	return real, info, nil
}

// resolve follows the links of a path as far as the scope allows.
func (s scope) resolve(path string) (string, fs.FileInfo, error) {
	real, err := filepath.EvalSymlinks(path)
	var named *fs.PathError
	if err != nil && !errors.As(err, &named) {
		// filepath's own words for links in a circle name no path.
		err = &fs.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP}
	}
	if err != nil {
		return "", nil, err
	}
	if !s.holds(real) {
		return "", nil, &LinkError{Link: path, Target: real, Root: s.allowed[0]}
	}
	info, err := os.Lstat(real)
	if err != nil {
		return "", nil, err
	}
	return real, info, nil
}

// holds reports whether a real path may be read. Blobs of the user's hub cache
// count: older hub clients fill a download directory with links to them, and their
// names are hashes of their content.
func (s scope) holds(real string) bool {
	for _, dir := range s.allowed {
		if within(dir, real) {
			return true
		}
	}
	return isHubBlob(real)
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// maxSmallFile bounds what is read into memory: configs and shard indices.
const maxSmallFile = 256 << 20

// read gives the bytes of a small file in the scope.
func (s scope) read(path string) ([]byte, error) {
	real, _, err := s.file(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(real)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmallFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSmallFile {
		return nil, &LimitError{Path: path, What: "bytes", Limit: maxSmallFile}
	}
	return b, nil
}

// exists reports whether a name stands in the directory, whatever it is.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
