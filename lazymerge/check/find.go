package check

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/single"
	"lorafs/lazymerge/diagnose"
	"lorafs/lazymerge/modeldir"
	"lorafs/safetensors"
)

// finder collects what is to be looked at.
type finder struct {
	opt      Options
	base     *lazymerge.Base // that adapters are opened with, nil for none
	subjects []subject
}

func newFinder(o Options) *finder { return &finder{opt: o} }

func (f *finder) close() {
	if f.base != nil {
		_ = f.base.Close() // it was only read
	}
}

func (f *finder) add(s subject) { f.subjects = append(f.subjects, s) }

// findBase opens the base. One that was named for the purpose and cannot be opened
// becomes a subject; one among the paths is one anyway.
func (f *finder) findBase(paths []string) {
	ref := f.opt.Base
	if ref == "" && len(paths) > 1 && isBase(paths[0]) {
		ref = paths[0]
	}
	if ref == "" {
		return
	}
	base, err := lazymerge.OpenBase(ref)
	if err == nil {
		f.base = base
	} else if f.opt.Base != "" {
		f.add(broken(ref, KindBase, err))
	}
}

// isBase tells whether a path is meant to be a model, whole or not.
func isBase(ref string) bool {
	if info, err := os.Stat(ref); err == nil && !info.IsDir() {
		return isWeightsFile(ref) && !isAdapterFile(ref)
	}
	if holdsModel(ref) {
		return true
	}
	_, err := modeldir.FindAdapters([]string{ref})
	return isNotAdapter(err) && isModelDir(ref)
}

// isNotAdapter tells whether FindAdapters found a directory that is no adapter, and not
// a part of a stack that is none.
func isNotAdapter(err error) bool {
	_, none := as[*modeldir.NotAdapterError](err)
	_, part := as[*modeldir.StackPartError](err)
	return none && !part
}

// isModelDir tells whether a directory without an adapter is meant to be a model.
func isModelDir(ref string) bool {
	_, err := modeldir.OpenBase(ref)
	none, ok := as[*modeldir.NotModelError](err)
	return !ok || none.Found == modeldir.FoundSeveral || none.Found == modeldir.FoundShard || none.Found == modeldir.FoundOtherFormat
}

// holdsModel tells whether a directory holds the files of a model, whole or not, and
// nothing that is an adapter. Without this the shards of a broken model would pass for a
// library of adapters that are one file each.
func holdsModel(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	model := false
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(dir, name)
		switch {
		case slices.Contains(modeldir.AdapterFiles(), name):
			return false
		case isWeightsFile(name) && isReadableAdapter(path):
			return false
		case name == "config.json", name == "model_index.json", name == "model.safetensors", strings.HasSuffix(name, ".safetensors.index.json"):
			model = true
		}
	}
	return model
}

// find adds the subjects of a path.
func (f *finder) find(ref string) {
	ref = unnamed(ref)
	if info, err := os.Stat(ref); err == nil && !info.IsDir() {
		f.findFile(ref)
		return
	}
	lib, err := modeldir.FindAdapters([]string{ref})
	outputs := modeldir.OutputDirs(ref)
	isModel := (isNotAdapter(err) || err == nil && lib.Dirs != nil && holdsModel(ref)) && isModelDir(ref)
	switch {
	case len(modeldir.CheckpointDirs(ref)) > 0:
		f.findTraining(ref)
	case isModel && modeldir.IsCheckpoint(ref):
		f.addRisks(ref)
		f.addBase(ref)
	case isModel:
		f.addBase(ref)
	case isNotAdapter(err) && len(outputs) > 0:
		f.addRisks(ref)
		f.findLibrary(ref, nil, outputs)
	case isNotAdapter(err) && modeldir.IsCheckpoint(ref):
		f.addRisks(ref)
		clean := filepath.Clean(ref)
		f.findWritten(filepath.Dir(clean), filepath.Base(clean))
	case isNotAdapter(err) && f.addSettings(ref):
	case err != nil:
		f.addRisks(ref)
		f.add(broken(ref, KindOther, err))
	default:
		f.addRisks(ref)
		f.findLibrary(ref, lib.Adapters, outputs)
	}
}

// unnamed takes NAME= off the output of a run, each of whose checkpoints has a name of its
// own.
func unnamed(ref string) string {
	_, path, ok := strings.Cut(ref, "=")
	if _, err := os.Stat(ref); err == nil || !ok || len(modeldir.CheckpointDirs(path)) == 0 {
		return ref
	}
	return path
}

// findLibrary adds the adapters that lie at a path and what each training run below it has
// saved, in the order of their paths. Of a run a library knows only the newest healthy
// checkpoint, and nothing of one that saved no adapter.
func (f *finder) findLibrary(dir string, adapters []modeldir.Adapter, outputs []string) {
	found := make(map[string]func())
	for _, name := range outputs {
		path := filepath.Join(dir, name)
		found[path] = func() { f.findTraining(path) }
	}
	for _, a := range adapters {
		if found[a.Ref] == nil {
			found[a.Ref] = func() { f.addAdapter(a.Ref, a) }
		}
	}
	for _, path := range slices.Sorted(maps.Keys(found)) {
		found[path]()
	}
}

// findTraining adds what a training run has saved, oldest first, and its settings.
func (f *finder) findTraining(dir string) {
	f.addRisks(dir)
	for _, name := range modeldir.Written(dir) {
		f.findWritten(dir, name)
	}
}

// findWritten adds one thing that a training run has saved, by its name of Written.
func (f *finder) findWritten(dir, name string) {
	path := filepath.Join(dir, name)
	if !modeldir.IsCheckpoint(name) {
		f.findAdapter(path)
		return
	}
	adapters, err := modeldir.CheckpointAdapters(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		f.add(broken(path, KindAdapter, err))
		return
	}
	for _, a := range adapters {
		unhealthy, ok := as[*modeldir.UnhealthyError](a.Err)
		if ok && unhealthy.Fault == modeldir.NoAdapter && holdsWeights(path) {
			f.addBase(path)
			continue
		}
		f.addAdapter(a.Ref, a)
	}
}

// holdsWeights tells whether a directory is a model in safetensors, whole or not.
func holdsWeights(dir string) bool {
	_, err := modeldir.OpenBase(dir)
	_, none := as[*modeldir.NotModelError](err)
	return !none
}

// findAdapter is find for what is one adapter, or a library, whatever lies beside it.
func (f *finder) findAdapter(path string) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		f.findFile(path)
		return
	}
	lib, err := modeldir.FindAdapters([]string{path})
	if err != nil {
		f.add(broken(path, KindAdapter, err))
		return
	}
	for _, a := range lib.Adapters {
		f.addAdapter(a.Ref, a)
	}
}

// findFile adds the subject of a file: that of its directory where it is one file of
// several.
func (f *finder) findFile(path string) {
	name := filepath.Base(path)
	switch {
	case slices.Contains(modeldir.AdapterFiles(), name):
		f.findAdapter(filepath.Dir(path))
	case name == "config.json", name == "model_index.json", strings.HasSuffix(name, ".safetensors.index.json"):
		f.addBase(filepath.Dir(path))
	case isWeightsFile(path) && !isAdapterFile(path):
		f.addWeights(path)
	case f.addSettings(path):
	default:
		f.findOneFile(path)
	}
}

// findOneFile adds an adapter that is one file.
func (f *finder) findOneFile(path string) {
	lib, err := modeldir.FindAdapters([]string{path})
	if err != nil {
		f.add(broken(path, KindOther, err))
		return
	}
	f.addAdapter(path, lib.Adapters[0])
}

func isWeightsFile(path string) bool { return strings.HasSuffix(path, ".safetensors") }

// isAdapterFile tells by its header whether a weights file is meant to be an adapter. One
// without a header that can be read counts as one, too.
func isAdapterFile(path string) bool {
	h, err := readHeader(path)
	return err != nil || single.LooksLikeAdapter(h)
}

// isReadableAdapter is isAdapterFile for files with a header.
func isReadableAdapter(path string) bool {
	h, err := readHeader(path)
	return err == nil && single.LooksLikeAdapter(h)
}

func readHeader(path string) (*safetensors.Header, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a FIFO would be waited for
		return nil, &modeldir.FileKindError{Path: path, Mode: info.Mode()}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return safetensors.ReadHeader(file, info.Size())
}

// addAdapter adds an adapter or a stack.
func (f *finder) addAdapter(path string, a modeldir.Adapter) {
	s := subject{path: path, kind: KindAdapter, bytes: weightsSize(a)}
	if a.Parts != nil {
		s.kind = KindStack
	}
	s.look = func(ctx context.Context, values bool) []diagnose.Finding {
		if f.base != nil {
			return f.open(ctx, a)
		}
		warnings, err := lazymerge.Examine(ctx, a, f.opt.Merge, !values)
		return append(diagnose.Explain(err), diagnose.Warnings("", warnings)...)
	}
	f.add(s)
}

// open opens the adapter with the base, as a mount does.
func (f *finder) open(ctx context.Context, a modeldir.Adapter) []diagnose.Finding {
	m, err := lazymerge.Open(ctx, f.base, a, f.opt.Merge)
	if err != nil {
		return diagnose.Explain(err)
	}
	r := m.Report()
	return append(diagnose.Warnings(r.File, r.Warnings), diagnose.Explain(m.Close())...)
}

// weightsSize is how many bytes of weights an adapter has, 0 when they are not there.
func weightsSize(a modeldir.Adapter) int64 {
	var total int64
	for _, p := range a.Parts {
		total += weightsSize(p.Adapter)
	}
	if a.Parts != nil {
		return total
	}
	files := []string{a.File}
	if a.File == "" {
		files = nil
		for _, name := range []string{"adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt"} {
			files = append(files, filepath.Join(a.Dir, name))
		}
	}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return info.Size()
		}
	}
	return 0
}

// addBase adds a model.
func (f *finder) addBase(ref string) {
	f.add(subject{path: ref, kind: KindBase, look: func(ctx context.Context, _ bool) []diagnose.Finding {
		base, err := lazymerge.OpenBase(ref)
		if err != nil {
			return diagnose.Explain(err)
		}
		defer base.Close()
		if !f.opt.Deep {
			return nil
		}
		warnings, err := base.Scan(ctx)
		return append(diagnose.Explain(err), diagnose.Warnings("", warnings)...)
	}})
}

// addWeights adds a model that is one file, or one shard of a model.
func (f *finder) addWeights(path string) {
	_, err := modeldir.OpenBase(path)
	if shard, ok := as[*modeldir.NotModelError](err); !ok || shard.Found != modeldir.FoundShard {
		f.addBase(path)
		return
	}
	f.add(subject{path: path, kind: KindWeights, look: func(ctx context.Context, _ bool) []diagnose.Finding {
		file, err := safetensors.Open(path)
		if err != nil {
			return diagnose.Explain(err)
		}
		defer file.Close()
		if !f.opt.Deep {
			return nil
		}
		warnings, err := lazymerge.ScanFile(ctx, file)
		return append(diagnose.Explain(err), diagnose.Warnings(path, warnings)...)
	}})
}
