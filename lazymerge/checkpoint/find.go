package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"
)

// Names of files and directories of checkpoints.
var (
	optimName  = regexp.MustCompile(`^(?:bf16_)?zero_pp_rank_(\d{1,9})_mp_rank_(\d{2,9})_optim_states\.pt$`)
	modelName  = regexp.MustCompile(`^(?:zero_pp_rank_(\d{1,9})_)?mp_rank_(\d{2,9})_model_states\.pt$`)
	stepName   = regexp.MustCompile(`^(?:global_step|checkpoint-)(\d{1,18})$`)
	layerName  = regexp.MustCompile(`^(?:layer_\d+.*model_states|expp_rank_\d+.*_optim_states)\.pt$`)
	rankedName = regexp.MustCompile(`^(?:pytorch_model_fsdp(?:_\d+)?_rank\d+\.bin|model_world_size_\d+_rank_\d+\.pt)$`)
)

// Files that name the directory of the newest step.
var latestNames = []string{"latest", "latest_universal"}

// adapterNames are the weights of an adapter, of which the checkpoint is in their directory.
var adapterNames = []string{"adapter_model.safetensors", "adapter_model.bin"}

// maxListed bounds how many entries of a directory are looked at.
const maxListed = 200_000

// Open finds out what lies at path and opens it: a checkpoint's directory, the one of
// its step, a run's output (its newest checkpoint), or a file. Errors: *NotFoundError,
// *LatestError, *RanksError, *MixedError, *LayoutError, *UnsupportedError,
// *ReadError, *fs.PathError.
func Open(path string, v Values) (*Checkpoint, error) { return Peek(path, v, 0) }

// Peek is Open within bounds: it gives up once more bytes of pickles were read than most,
// 0 for any. Errors: those of Open, ErrLarge.
func Peek(path string, v Values, most int64) (*Checkpoint, error) {
	c := &Checkpoint{Path: path, most: most}
	if err := c.open(path, v, 0); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Checkpoint) open(path string, v Values, depth int) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return c.openFile(path, v)
	}
	names, err := List(path, maxListed)
	if err != nil {
		return err
	}
	c.Path = path
	switch {
	case slices.Contains(names, "zero") && slices.ContainsFunc(names, modelName.MatchString) && !slices.ContainsFunc(names, optimName.MatchString):
		return c.openUniversal(path, names)
	case slices.ContainsFunc(names, optimName.MatchString) || slices.ContainsFunc(names, modelName.MatchString):
		return c.openZero(path, names, v)
	case slices.Contains(names, ".metadata"):
		return c.openDCP(path)
	case slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".distcp") }):
		return &LayoutError{File: filepath.Join(path, ".metadata"), Reason: "it is missing; it is written last, so the checkpoint was not finished"}
	}
	return c.descend(path, names, v, depth)
}

// openFile opens a file, or the checkpoint that it is a part of.
func (c *Checkpoint) openFile(path string, v Values) error {
	name := filepath.Base(path)
	switch {
	case optimName.MatchString(name), modelName.MatchString(name), name == ".metadata", slices.Contains(latestNames, name), slices.Contains(adapterNames, name):
		return c.open(filepath.Dir(path), v, 1)
	case rankedName.MatchString(name):
		return &UnsupportedError{File: path, Reason: "each rank's part was saved by itself, without how the parts fit"}
	case strings.HasSuffix(name, ".distcp"):
		return c.open(filepath.Dir(path), v, 1)
	}
	return c.openState(path)
}

// descend opens what a directory leads to.
func (c *Checkpoint) descend(dir string, names []string, v Values, depth int) error {
	const most = 4
	if depth > most {
		return &NotFoundError{Path: dir}
	}
	for _, latest := range latestNames {
		if slices.Contains(names, latest) {
			to, err := readLatest(filepath.Join(dir, latest))
			if err != nil {
				return err
			}
			return c.open(to, v, most)
		}
	}
	for _, way := range []func(string, []string) (string, bool){newest("global_step"), shardedDir, stateFile, newest("checkpoint-"), onlyStep} {
		if name, ok := way(dir, names); ok {
			if stepName.MatchString(name) {
				c.Notes = append(c.Notes, fmt.Sprintf("the newest one, %s, was chosen", filepath.Join(dir, name)))
			}
			return c.open(filepath.Join(dir, name), v, depth+1)
		}
	}
	if i := slices.IndexFunc(names, rankedName.MatchString); i >= 0 {
		return c.openFile(filepath.Join(dir, names[i]), v)
	}
	return &NotFoundError{Path: dir}
}

// readLatest reads a file that names a directory beside it. Errors: *LatestError.
func readLatest(path string) (string, error) {
	const most = 4096
	text, err := readFile(path, most)
	if err != nil {
		return "", err
	}
	tag := strings.TrimSpace(string(text))
	if tag == "" || tag == "." || !filepath.IsLocal(tag) || strings.ContainsFunc(tag, unicode.IsControl) {
		return "", &LatestError{File: path, Tag: tag}
	}
	to := filepath.Join(filepath.Dir(path), tag)
	st, err := os.Stat(to)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG) || err == nil && !st.IsDir() {
		return "", &LatestError{File: path, Tag: tag}
	}
	return to, err
}

// newest finds the directory of the highest step.
func newest(prefix string) func(string, []string) (string, bool) {
	return func(dir string, names []string) (string, bool) {
		best, step := "", int64(-1)
		for _, name := range names {
			m := stepName.FindStringSubmatch(name)
			if m == nil || !strings.HasPrefix(name, prefix) {
				continue
			}
			if st, err := os.Stat(filepath.Join(dir, name)); err != nil || !st.IsDir() {
				continue
			}
			if n, err := strconv.ParseInt(m[1], 10, 64); err == nil && n > step {
				best, step = name, n
			}
		}
		return best, best != ""
	}
}

// onlyStep finds the one directory that holds files of a step under a name of its own.
func onlyStep(dir string, names []string) (string, bool) {
	const most = 1000 // directories that are looked into
	found := ""
	for _, name := range names[:min(len(names), most)] {
		below, err := List(filepath.Join(dir, name), maxListed)
		if err != nil || !slices.ContainsFunc(below, IsStepFile) {
			continue
		}
		if found != "" {
			return "", false
		}
		found = name
	}
	return found, found != ""
}

// IsStepFile tells by its name whether a file is one of a step, whose directory is opened.
func IsStepFile(name string) bool {
	return optimName.MatchString(name) || modelName.MatchString(name) || name == ".metadata" || strings.HasSuffix(name, ".distcp")
}

// shardedDir finds the directory that accelerate gives a sharded model.
func shardedDir(dir string, names []string) (string, bool) {
	for _, name := range []string{"pytorch_model_fsdp_0", "model"} {
		if !slices.Contains(names, name) {
			continue
		}
		parts, err := List(filepath.Join(dir, name), maxListed)
		if err == nil && slices.ContainsFunc(parts, IsStepFile) {
			return name, true
		}
	}
	return "", false
}

// stateFile finds the file of a whole model.
func stateFile(_ string, names []string) (string, bool) {
	for _, name := range []string{
		"pytorch_model_fsdp.bin",
		"model.safetensors.index.json", "model.safetensors",
		"pytorch_model.bin.index.json", "pytorch_model.bin",
	} {
		if slices.Contains(names, name) {
			return name, true
		}
	}
	return "", false
}

// List gives the names in a directory, sorted, and of more than most only so many.
func List(dir string, most int) ([]string, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0) // to open a FIFO would wait
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(most)
	if err != nil && len(names) == 0 && !errors.Is(err, io.EOF) {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// openRegular opens a file to read; of a FIFO or a device nothing is read.
func openRegular(path string) (*os.File, error) {
	// O_NONBLOCK keeps the open of a FIFO that nobody writes from hanging.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
