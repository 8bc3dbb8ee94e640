package peft

import (
	"path/filepath"

	"lorafs/lazymerge/torchfile"
	"lorafs/safetensors"
)

// Weights is an open file of named tensors, whatever its format.
type Weights interface {
	Path() string
	Size() int64
	Tensors() []*safetensors.Tensor
	Close() error
}

// OpenWeights opens a file by the format that its name promises, as PEFT does: a
// .safetensors, else a file of torch.save. Errors: those of safetensors.Open and of
// torchfile.OpenWeights.
func OpenWeights(path string) (Weights, error) {
	if filepath.Ext(path) == ".safetensors" {
		return opened(safetensors.Open(path))
	}
	return opened(torchfile.OpenWeights(path))
}

// opened keeps a nil pointer out of the interface.
func opened[W Weights](w W, err error) (Weights, error) {
	if err != nil {
		return nil, err
	}
	return w, nil
}
