package checkpoint

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// metadataBounds are those of the pickle that describes a distributed checkpoint. It has
// each chunk of each rank, a million with 1,000 of each, which take 3.4 GB.
var metadataBounds = pickle.Options{MaxBytes: 1 << 30, MaxMemory: 4 << 30}

// openDCP opens a directory of torch.distributed.checkpoint: .metadata says for every
// tensor of what chunks it is made, and for every chunk at what place of what file it
// lies, each as a torch.save stream (torch distributed/checkpoint/metadata.py,
// filesystem.py @2.15).
func (c *Checkpoint) openDCP(dir string) error {
	c.Kind = "distributed checkpoint of torch (FSDP)"
	path := filepath.Join(dir, ".metadata")
	if st, err := os.Stat(path); err == nil {
		if err := c.count(st.Size()); err != nil {
			return err
		}
	}
	m, err := readMetadata(path)
	if err != nil {
		return err
	}
	sizes, err := c.watchFiles(dir, m)
	if err != nil {
		return err
	}
	for i := range m.tensors {
		t := &m.tensors[i]
		if err := c.addDCP(dir, m, t, sizes); err != nil {
			return err
		}
	}
	return c.refuseEqualFiles(sizes)
}

// dcpTensor is a tensor as .metadata describes it.
type dcpTensor struct {
	key    string // in the table of places
	name   string
	dtype  safetensors.DType
	shape  []int64
	chunks []dcpChunk
}

type dcpChunk struct{ offsets, sizes []int64 }

// dcpPlace is where a chunk lies.
type dcpPlace struct {
	file           string
	offset, length int64
}

type metadata struct {
	path    string
	tensors []dcpTensor
	places  map[string]dcpPlace // by placeKey
}

func placeKey(key string, offsets []int64) string { return fmt.Sprint(key, "\x00", offsets) }

func readMetadata(path string) (*metadata, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := pickle.Decode(f, metadataBounds)
	if err != nil {
		return nil, &LayoutError{File: path, Reason: "it cannot be read: " + err.Error()}
	}
	return parseMetadata(path, v)
}

func parseMetadata(path string, v any) (*metadata, error) {
	top, ok := attributes(v)
	state, okState := top["state_dict_metadata"].(*pickle.Dict)
	storage, okStorage := top["storage_data"].(*pickle.Dict)
	if !ok || !okState || !okStorage {
		return nil, &LayoutError{File: path, Reason: "it is no metadata of a distributed checkpoint"}
	}
	m := &metadata{path: path, places: make(map[string]dcpPlace)}
	if err := m.readPlaces(storage); err != nil {
		return nil, err
	}
	if err := m.readTensors(state); err != nil {
		return nil, err
	}
	paths, _ := top["planner_data"].(*pickle.Dict)
	return m, m.rename(paths)
}

func (m *metadata) bad(tensor, reason string) error {
	return &LayoutError{File: m.path, Tensor: tensor, Reason: reason}
}

func (m *metadata) readPlaces(storage *pickle.Dict) error {
	for k, v := range storage.All() {
		index, okIndex := attributes(k, "fqn", "offset", "index")
		info, okInfo := attributes(v, "relative_path", "offset", "length")
		key, okKey := index["fqn"].(string)
		file, okFile := info["relative_path"].(string)
		offset, okOffset := integer(info["offset"])
		length, okLength := integer(info["length"])
		if !okIndex || !okInfo || !okKey || !okFile || !okOffset || !okLength || offset < 0 || length < 0 {
			return m.bad("", "an entry of storage_data is not of the known form")
		}
		if packed, ok := sequence(info["transform_descriptors"]); ok && len(packed) > 0 {
			return &UnsupportedError{File: m.path, Reason: "its files are compressed"}
		}
		if !filepath.IsLocal(file) || strings.Contains(file, "\x00") {
			return m.bad(key, fmt.Sprintf("it is said to lie in %q, outside of the directory", shorten(file)))
		}
		at, ok := shape(index["offset"])
		if !ok && index["offset"] != nil {
			return m.bad(key, "its place is not of the known form")
		}
		id := placeKey(key, at)
		if _, twice := m.places[id]; twice {
			return m.bad(key, fmt.Sprintf("storage_data has its chunk at %v twice", at))
		}
		m.places[id] = dcpPlace{file, offset, length}
	}
	return nil
}

func (m *metadata) readTensors(state *pickle.Dict) error {
	for k, v := range state.All() {
		key, ok := k.(string)
		entry, okEntry := attributes(v)
		if !ok || !okEntry {
			return m.bad("", "an entry of state_dict_metadata is not of the known form")
		}
		if o := v.(*pickle.Object); o.Class.Name != "TensorStorageMetadata" {
			continue
		}
		t := dcpTensor{key: key, name: key}
		dims, okShape := shape(entry["size"])
		chunks, okChunks := sequence(entry["chunks"])
		dtype, okDType := dtypeOf(entry["properties"])
		if !okShape || !okChunks {
			return m.bad(key, "its size or its chunks are not of the known form")
		}
		if !okDType {
			return m.bad(key, "its dtype is not known")
		}
		t.shape, t.dtype = dims, dtype
		for _, item := range chunks {
			a, _ := attributes(item, "offsets", "sizes")
			offsets, okOffsets := shape(a["offsets"])
			sizes, okSizes := shape(a["sizes"])
			if !okOffsets || !okSizes {
				return m.bad(key, "a chunk is not of the known form")
			}
			t.chunks = append(t.chunks, dcpChunk{offsets, sizes})
		}
		m.tensors = append(m.tensors, t)
	}
	return nil
}

// dtypeOf reads TensorProperties, whose state is a tuple that begins with the dtype.
func dtypeOf(v any) (safetensors.DType, bool) {
	o, ok := v.(*pickle.Object)
	if !ok {
		return 0, false
	}
	var d any
	if items, ok := sequence(o.State); ok && len(items) > 0 {
		d = items[0]
	}
	if a, ok := attributes(v, "dtype"); ok && a["dtype"] != nil {
		d = a["dtype"]
	}
	g, ok := d.(pickle.Global)
	if p, isPointer := d.(*pickle.Global); isPointer {
		g, ok = *p, true
	}
	if !ok || g.Module != "torch" {
		return 0, false
	}
	t, ok := torchDTypes[g.Name]
	return t, ok
}

// torchDTypes are the dtypes that models are saved in.
var torchDTypes = map[string]safetensors.DType{
	"float32": safetensors.F32, "float": safetensors.F32, "float64": safetensors.F64, "double": safetensors.F64,
	"float16": safetensors.F16, "half": safetensors.F16, "bfloat16": safetensors.BF16,
	"int64": safetensors.I64, "long": safetensors.I64, "int32": safetensors.I32, "int": safetensors.I32,
	"int16": safetensors.I16, "short": safetensors.I16, "int8": safetensors.I8, "uint8": safetensors.U8,
	"bool": safetensors.BOOL, "uint16": safetensors.U16, "uint32": safetensors.U32, "uint64": safetensors.U64,
	"float8_e4m3fn": safetensors.F8E4M3, "float8_e5m2": safetensors.F8E5M2, "complex64": safetensors.C64,
}

// rename gives the tensors the names of the model: planner_data has the path of each in
// the saved dicts, of which the last part is the name and the others say of what.
func (m *metadata) rename(paths *pickle.Dict) error {
	above := make(map[string][]int)
	for i := range m.tensors {
		root := ""
		if paths != nil {
			v, _ := paths.Get(m.tensors[i].key)
			if parts, ok := sequence(v); ok && len(parts) > 0 {
				if name, ok := parts[len(parts)-1].(string); ok {
					m.tensors[i].name = name
					root = fmt.Sprint(parts[:len(parts)-1]...)
				}
			}
		}
		if !strings.Contains(root, "optim") {
			above[root] = append(above[root], i)
		}
	}
	chosen, err := m.chooseRoot(above)
	if err != nil {
		return err
	}
	var kept []dcpTensor
	for _, i := range above[chosen] {
		kept = append(kept, m.tensors[i])
	}
	if chosen == "" && paths == nil {
		stripRoot(kept)
	}
	m.tensors = kept
	return nil
}

// chooseRoot takes the dict that is the model's.
func (m *metadata) chooseRoot(above map[string][]int) (string, error) {
	var roots, models []string
	for root := range above {
		roots = append(roots, root)
		if strings.Contains(root, "model") {
			models = append(models, root)
		}
	}
	slices.Sort(roots)
	switch {
	case len(roots) == 1:
		return roots[0], nil
	case len(models) == 1:
		return models[0], nil
	case len(roots) == 0:
		return "", m.bad("", "it describes no tensor of a model")
	}
	return "", &UnsupportedError{File: m.path, Reason: "it holds several dicts of tensors (" + shortList(roots) + "), and which is the model is not said"}
}

// stripRoot drops "model." where all names begin so, as accelerate puts it there.
func stripRoot(tensors []dcpTensor) {
	const root = "model."
	for _, t := range tensors {
		if !strings.HasPrefix(t.name, root) {
			return
		}
	}
	for i := range tensors {
		tensors[i].name = strings.TrimPrefix(tensors[i].name, root)
	}
}

// watchFiles gives the sizes of the files with the tensors' chunks. Errors: *RanksError,
// *fs.PathError.
func (c *Checkpoint) watchFiles(dir string, m *metadata) (map[string]int64, error) {
	sizes := make(map[string]int64)
	lost := make(map[string]bool)
	for i := range m.tensors {
		for _, ch := range m.tensors[i].chunks {
			place, ok := m.places[placeKey(m.tensors[i].key, ch.offsets)]
			path := filepath.Join(dir, place.file)
			if _, known := sizes[path]; known || !ok || lost[place.file] || product(ch.sizes) == 0 {
				continue
			}
			size, err := c.watch(path)
			switch {
			case os.IsNotExist(err):
				lost[place.file] = true
			case err != nil:
				return nil, err
			default:
				sizes[path] = size
			}
		}
	}
	if len(lost) > 0 {
		return nil, &RanksError{Dir: dir, Files: "the checkpoint", Have: len(sizes), Want: len(sizes) + len(lost), By: `".metadata"`, Missing: slices.Sorted(maps.Keys(lost))}
	}
	return sizes, nil
}

// addDCP adds a tensor whose chunks all have their places.
func (c *Checkpoint) addDCP(dir string, m *metadata, t *dcpTensor, sizes map[string]int64) error {
	out := &Tensor{Name: t.name, DType: t.dtype, Saved: t.dtype, Shape: t.shape, grid: t.shape}
	for _, ch := range t.chunks {
		if product(ch.sizes) == 0 {
			continue // of a rank that got nothing
		}
		place, ok := m.places[placeKey(t.key, ch.offsets)]
		if !ok {
			return m.bad(t.name, fmt.Sprintf("storage_data has no place for its chunk at %v", ch.offsets))
		}
		path := filepath.Join(dir, place.file)
		size := sizes[path]
		if place.offset > size || place.length > size-place.offset {
			return &LayoutError{File: path, Tensor: t.name, Reason: fmt.Sprintf("it is said to lie at bytes %d to %d, the file has %d", place.offset, place.offset+place.length, size)}
		}
		out.chunks = append(out.chunks, chunk{
			offsets: ch.offsets, sizes: ch.sizes, file: path,
			from: saved{path: path, offset: place.offset, length: place.length, dtype: t.dtype, shape: ch.sizes},
		})
	}
	if err := out.checkTiling(m.path); err != nil {
		return err
	}
	c.Tensors = append(c.Tensors, out)
	return nil
}
