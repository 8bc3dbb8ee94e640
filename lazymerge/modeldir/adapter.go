package modeldir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"lorafs/lazymerge/torchfile"
)

// FindAdapters finds the adapters that refs name. Each is a path or the id of a
// cached repository, with or without NAME= in front: an adapter directory, the
// output of a training run (its own adapter, else its newest healthy checkpoint),
// or a library of those, one level deep; or a stack of adapters, as A@0.7+B.
//
// A lone adapter that cannot be opened is an error. Among several it is an entry
// with Err set. What the caller wrote wrongly (no such path, names that collide) is
// an error in any case: *NotFoundError, *NameError, *NameCollisionError,
// *StackError, *StackPartError; else *NotAdapterError, *NoCheckpointError,
// *LinkError, *FileKindError, *LimitError, *fs.PathError.
func FindAdapters(refs []string) (*Library, error) {
	lib := &Library{}
	for _, ref := range refs {
		named, err := parseRef(ref)
		if err != nil {
			return nil, err
		}
		found, err := named.find()
		if err != nil {
			return nil, err
		}
		if len(refs) == 1 && !found.library {
			if err := found.adapters[0].Err; err != nil {
				return nil, err
			}
			lib.Single = named.name == ""
		}
		if !lib.Single && !found.library {
			if err := checkName(ref, found.adapters[0].Name); err != nil {
				return nil, err
			}
		}
		if found.library {
			lib.Dirs = append(lib.Dirs, named.host)
		}
		if err := lib.add(named, found); err != nil {
			return nil, err
		}
	}
	return lib, sortUnique(lib.Adapters)
}

// add takes in what a reference led to.
func (l *Library) add(r reference, f found) error {
	source, err := newSource(r, f.library)
	if err != nil {
		return err
	}
	for i := range f.adapters {
		f.adapters[i].Source = len(l.Sources)
		f.adapters[i].Marks = marks(f.adapters[i])
	}
	l.Sources = append(l.Sources, source)
	l.Adapters = append(l.Adapters, f.adapters...)
	return nil
}

// reference is one ADAPTER argument, taken apart and found on disk.
type reference struct {
	ref  string // as it was written
	name string // what stood before "=", "" when nothing did
	host string // where it is
	tree string // its name in the tree

	parts []stackPart // of a stack, nil for one adapter
}

// diffusersFiles are the names under which diffusers saves an adapter for a pipeline, in
// the order in which one wins.
var diffusersFiles = []string{"pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin"}

// diffusersFile is the file of a directory that has one of these names, "" for none.
func diffusersFile(dir string) string {
	for _, name := range diffusersFiles {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return ""
}

func isTorch(name string) bool { return torchfile.HasExtension(name) && !hidden(name) }

// looksLikeDiffusers reports whether a directory holds an adapter for a pipeline and
// none of PEFT's.
func looksLikeDiffusers(dir string) bool {
	return diffusersFile(dir) != "" && !looksLikeAdapter(dir)
}

// parseRef takes a reference apart. A path that exists as written wins over every
// other reading, and NAME= over a stack whose first part holds an equals sign. What has a
// slash before its equals sign is a path, unless only what stands behind it exists.
func parseRef(ref string) (reference, error) {
	r, err := parseUnnamed(ref)
	if err == nil && r.parts == nil {
		return r, nil
	}
	name, rest, ok := strings.Cut(ref, "=")
	if !ok {
		return r, err
	}
	path := strings.Contains(name, "/")
	if path && err == nil {
		return r, nil
	}
	named, namedErr := parseUnnamed(rest)
	if namedErr != nil && (err == nil || path) {
		return r, err
	}
	if err := checkName(ref, name); err != nil {
		return reference{}, err
	}
	named.ref, named.name, named.tree = ref, name, name
	return named, namedErr
}

// parseUnnamed reads an adapter or a stack.
func parseUnnamed(ref string) (reference, error) {
	host, err := locate(ref)
	var missing *NotFoundError
	if !errors.As(err, &missing) && !errors.Is(err, syscall.ENAMETOOLONG) {
		if err == nil && isDirectoryFile(host) {
			ref, host = filepath.Dir(ref), filepath.Dir(host)
		}
		return reference{ref: ref, host: host, tree: treeName(ref, host)}, err
	}
	parts, err := parseStack(ref)
	if err != nil {
		return reference{}, err
	}
	return reference{ref: ref, parts: parts, tree: stackName(parts)}, nil
}

// isDirectoryFile tells whether a path is a file of an adapter directory, which is meant then.
func isDirectoryFile(host string) bool {
	name := filepath.Base(host)
	return isAdapterFile(name) && !slices.Contains(diffusersFiles, name) && !isDir(host)
}

// found is what a reference led to.
type found struct {
	adapters []Adapter
	library  bool
}

func (r reference) find() (found, error) { return r.findBy(scope.libraryEntry) }

// findBy looks at the entries of a library by a function.
func (r reference) findBy(entry func(scope, string) (Adapter, bool)) (found, error) {
	if r.parts != nil {
		return r.findStack()
	}
	if !isDir(r.host) {
		return found{adapters: []Adapter{r.oneFile()}}, nil
	}
	s, err := newScope(r.host)
	if err != nil {
		return found{}, err
	}
	a, err := s.openAdapter()
	var none *NotAdapterError
	if errors.As(err, &none) && !none.IsBase {
		return r.findLibrary(s, none, entry)
	}
	a.Name, a.Ref, a.Err = r.tree, r.ref, err
	return found{adapters: []Adapter{a}}, nil
}

// oneFile opens an adapter that is one file, which a link may name wherever it is.
func (r reference) oneFile() Adapter {
	a := Adapter{Name: r.fileName(), Ref: r.ref, Dir: filepath.Dir(r.host), Err: fileProblem(r.host)}
	if a.Err == nil {
		a.File, a.Err = realFile(r.host)
	}
	return a
}

func realFile(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// fileName is the tree name of an adapter that is one file.
func (r reference) fileName() string {
	if r.name != "" {
		return r.name
	}
	if isTorch(r.tree) {
		return strings.TrimSuffix(r.tree, filepath.Ext(r.tree))
	}
	return strings.TrimSuffix(r.tree, weightsExt)
}

// fileProblem says why a file is no adapter that is one file.
func fileProblem(host string) error {
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	name := filepath.Base(host)
	switch {
	case !info.Mode().IsRegular():
		return &FileKindError{Path: host, Mode: info.Mode()}
	case isWeights(name), isTorch(name):
		return nil
	}
	return &NotAdapterError{Path: host, Reason: "it is neither a safetensors nor a torch file"}
}

// openAdapter opens the one adapter of a directory. A directory that is not meant
// to be one gives a *NotAdapterError. Dir is set when there is an error, too.
func (s scope) openAdapter() (Adapter, error) {
	a := Adapter{Dir: s.root}
	own, diffusers := hasAdapterWeights(s.root), looksLikeDiffusers(s.root)
	switch {
	case !own && !diffusers && len(checkpoints(s.root)) > 0:
		dir, note, err := s.newestHealthy()
		if err != nil {
			return a, err
		}
		a.Dir, a.Note, s = dir, note, s.at(dir)
		if looksLikeDiffusers(dir) {
			a.File, _, err = s.file(diffusersFile(dir))
			return a, err
		}
	case own || exists(filepath.Join(s.root, adapterConfig)):
		a.Note = furtherAdapters(s.root)
	case diffusers:
		var err error
		a.File, _, err = s.file(diffusersFile(s.root))
		return a, err
	default:
		return a, s.notAdapter()
	}
	if err := s.readable(); err != nil {
		return a, err
	}
	var err error
	a.Files, err = s.overlay()
	return a, err
}

// furtherAdapters notes the adapters that PEFT saved beside the default one.
func furtherAdapters(dir string) string {
	var names []string
	for _, name := range adapterDirs(dir) {
		if !checkpointName.MatchString(name) {
			names = append(names, name)
		}
	}
	if names == nil {
		return ""
	}
	return "the directory's own adapter was chosen; it also holds " + strings.Join(names, ", ")
}

// notAdapter says what a directory without an adapter is.
func (s scope) notAdapter() error {
	names, err := readNames(s.root)
	if err != nil {
		return err
	}
	for _, name := range adapterFiles {
		if !names[name] {
			continue
		}
		// It is listed and was not found: the directory may not be searched.
		if _, err := os.Lstat(filepath.Join(s.root, name)); err != nil {
			return err
		}
	}
	e := &NotAdapterError{Path: s.root, Reason: "neither an " + adapterConfig + " nor a sub-directory with one"}
	for _, name := range sorted(names) {
		if !hidden(name) {
			e.Names = append(e.Names, name)
		}
	}
	if names["model_index.json"] || names["config.json"] && s.hasModel() {
		e.IsBase, e.Reason, e.Names = true, "it is a base model", nil
	}
	return e
}

func (s scope) hasModel() bool {
	_, err := s.component("")
	return err == nil
}

// findLibrary lists the adapters of a directory that is none itself.
func (r reference) findLibrary(s scope, none *NotAdapterError, entry func(scope, string) (Adapter, bool)) (found, error) {
	names, err := readNames(s.root)
	if err != nil {
		return found{}, err
	}
	lib := found{library: true}
	for _, name := range sorted(names) {
		if hidden(name) {
			continue
		}
		if a, ok := entry(s, name); ok {
			a.Ref, a.Place = filepath.Join(r.host, name), filepath.Join(s.root, name)
			if err := checkName(a.Ref, a.Name); err != nil && a.Err == nil {
				a.Err = err
			}
			lib.adapters = append(lib.adapters, a)
		}
	}
	if lib.adapters == nil {
		return found{}, none
	}
	if r.name != "" {
		return found{}, &NameError{Ref: r.ref, Name: r.name, Reason: "cannot be given to a library of several adapters"}
	}
	return lib, nil
}

// dangling tells whether a path is a link whose target is not there: where that was on a
// disk that is not mounted, an adapter is missing.
func dangling(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return false
	}
	_, err = os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// libraryEntry opens one entry of a library; ok is false for what has nothing of
// an adapter. What a link points to outside of the library is not looked at.
func (s scope) libraryEntry(name string) (a Adapter, ok bool) {
	path := filepath.Join(s.root, name)
	real, info, err := s.resolve(path)
	if err != nil && dangling(path) {
		return Adapter{Name: strings.TrimSuffix(name, weightsExt), Dir: path, Err: &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}},
			isWeights(name) || filepath.Ext(name) == ""
	}
	if err != nil {
		var link *LinkError
		leaving := errors.As(err, &link) && (isWeights(name) || isDir(link.Target) && looksLikeAdapter(link.Target))
		return Adapter{Name: strings.TrimSuffix(name, weightsExt), Dir: path, Err: err}, leaving
	}
	if !info.IsDir() {
		stem := strings.TrimSuffix(name, weightsExt)
		a := Adapter{Name: stem, Dir: s.root, Err: fileProblem(path)}
		if a.Err == nil {
			a.File = real
		}
		return a, stem != name
	}
	if real == s.root {
		return Adapter{}, false
	}
	a, err = s.at(real).openAdapter()
	var none *NotAdapterError
	if errors.As(err, &none) || errors.Is(err, fs.ErrPermission) && !looksLikeAdapter(real) {
		return Adapter{}, false
	}
	a.Name, a.Err = name, err
	return a, true
}
