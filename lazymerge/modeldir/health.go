package modeldir

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"lorafs/lazymerge/torchfile"
	"lorafs/safetensors"
)

const (
	adapterConfig  = "adapter_config.json"
	adapterWeights = "adapter_model.safetensors"
)

// adapterFiles are the names by which a directory is known for an adapter, broken
// or not.
var adapterFiles = []string{adapterConfig, adapterWeights, "adapter_model.bin", "adapter_model.pt"}

// looksLikeAdapter reports whether a directory is meant to be an adapter.
func looksLikeAdapter(dir string) bool {
	for _, name := range adapterFiles {
		if exists(filepath.Join(dir, name)) {
			return true
		}
	}
	return false
}

// hasAdapterWeights is looksLikeAdapter for more than a config.
func hasAdapterWeights(dir string) bool {
	for _, name := range adapterFiles[1:] {
		if exists(filepath.Join(dir, name)) {
			return true
		}
	}
	return false
}

// readable says why the files of an adapter directory must not be opened: links
// that leave it, and what is not a regular file. A file that is absent is for the
// parser to report.
func (s scope) readable() error {
	for _, name := range adapterFiles {
		path := filepath.Join(s.root, name)
		if !exists(path) {
			continue
		}
		if _, _, err := s.file(path); err != nil {
			return err
		}
	}
	return nil
}

// Healthy says why an adapter directory cannot be used, as far as its config and
// the header of its weights tell; nil when nothing is wrong with them. It is what
// chooses among checkpoints. Errors: *UnhealthyError, *LinkError, *FileKindError.
func Healthy(dir string) error {
	s, err := newScope(dir)
	if err != nil {
		return err
	}
	return s.healthy()
}

func (s scope) healthy() error {
	if looksLikeDiffusers(s.root) {
		return s.healthyFile(diffusersFile(s.root))
	}
	if err := s.readable(); err != nil {
		return err
	}
	if err := s.healthyConfig(); err != nil {
		return err
	}
	return s.healthyWeights()
}

func (s scope) healthyConfig() error {
	path := filepath.Join(s.root, adapterConfig)
	b, err := s.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &UnhealthyError{Path: path, Fault: ConfigMissing}
	}
	if err != nil {
		return &UnhealthyError{Path: path, Fault: ConfigBroken, Err: err}
	}
	var config struct {
		Type string `json:"peft_type"`
	}
	if err := json.Unmarshal(b, &config); err != nil {
		return &UnhealthyError{Path: path, Fault: ConfigBroken, Err: err}
	}
	if config.Type == "" {
		return &UnhealthyError{Path: path, Fault: ConfigBroken, Detail: "it names no peft_type"}
	}
	return nil
}

func (s scope) healthyWeights() error {
	for _, name := range adapterFiles[1:] {
		if path := filepath.Join(s.root, name); exists(path) {
			return s.healthyFile(path)
		}
	}
	return &UnhealthyError{Path: filepath.Join(s.root, adapterWeights), Fault: WeightsMissing}
}

func (s scope) healthyFile(path string) error {
	tensors, err := s.tensors(path)
	if err != nil {
		return &UnhealthyError{Path: path, Fault: WeightsBroken, Err: err}
	}
	if len(tensors) == 0 {
		return &UnhealthyError{Path: path, Fault: WeightsEmpty}
	}
	for _, t := range tensors {
		if len(t.Shape) == 1 && t.Shape[0] == 0 {
			return &UnhealthyError{Path: path, Fault: WeightsPlaceholders, Detail: t.Name}
		}
	}
	return nil
}

// tensors lists what a weights file holds, by what its name says it is.
func (s scope) tensors(path string) ([]safetensors.Info, error) {
	if filepath.Ext(path) != weightsExt {
		return s.torchTensors(path)
	}
	header, err := s.header(path)
	if err != nil {
		return nil, err
	}
	infos := make([]safetensors.Info, 0, len(header.Entries))
	for _, e := range header.Entries {
		infos = append(infos, e.Info)
	}
	return infos, nil
}

func (s scope) torchTensors(path string) ([]safetensors.Info, error) {
	real, _, err := s.file(path)
	if err != nil {
		return nil, err
	}
	f, err := torchfile.OpenWeights(real)
	if err != nil {
		return nil, err
	}
	var infos []safetensors.Info
	for _, t := range f.Tensors() {
		infos = append(infos, t.Info)
	}
	return infos, f.Close()
}

func (s scope) header(path string) (*safetensors.Header, error) {
	real, info, err := s.file(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(real)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	header, err := safetensors.ReadHeader(f, info.Size())
	var bad *safetensors.Error
	if errors.As(err, &bad) {
		bad.Path = path
	}
	return header, err
}
