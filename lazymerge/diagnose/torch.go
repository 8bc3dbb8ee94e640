package diagnose

import (
	"path/filepath"
	"strings"

	"lorafs/lazymerge/torchfile"
)

// torchCodes are the codes of files of torch.save that are not read.
var torchCodes = map[torchfile.Kind]string{
	torchfile.NotTorch:      "weights-torch-broken",
	torchfile.Truncated:     "weights-truncated",
	torchfile.BadZip:        "weights-torch-broken",
	torchfile.Compressed:    "weights-torch-packed",
	torchfile.Overlapping:   "weights-torch-refused",
	torchfile.BadName:       "weights-torch-refused",
	torchfile.TorchScript:   "format-unsupported",
	torchfile.Tar:           "format-unsupported",
	torchfile.BadPickle:     "weights-torch-refused",
	torchfile.MissingRecord: "weights-torch-broken",
	torchfile.StorageSize:   "weights-torch-broken",
	torchfile.BadStorage:    "weights-torch-broken",
	torchfile.BadTensor:     "weights-torch-broken",
	torchfile.UnknownDType:  "format-unsupported",
	torchfile.NotTensors:    "weights-torch-objects",
	torchfile.BadIndex:      "index-broken",
	torchfile.Damaged:       "weights-torch-damaged",
}

// explainTorchFile tells by its first bytes what a file is that torch did not write.
func explainTorchFile(e *torchfile.Error) Finding {
	name, message := torchCodes[e.Kind], e.Error()
	if h, ok := readHead(e.Path); ok && e.Kind == torchfile.NotTorch {
		switch shape := shapeOf(h); shape {
		case "", "weights-pickle", "weights-old-empty", "weights-too-short":
		default:
			name = shape
		}
		if otherFile(name) {
			message = h.begins(e.Path)
		}
	}
	if name == "" {
		return Finding{Code: "error", File: e.Path, Tensor: e.Tensor, Message: e.Error()}
	}
	return ungathered(name, e.Path, e.Tensor, message)
}

// emptyCode is the code of a weights file without a tensor.
func emptyCode(file string) string {
	if filepath.Ext(file) == ".safetensors" {
		return "weights-empty"
	}
	return "weights-torch-empty"
}

// torchName is what a file under the name of a safetensors file should be called when
// it is a torch file.
func torchName(file string) string {
	stem := strings.TrimSuffix(file, ".safetensors")
	if filepath.Base(stem) == "adapter_model" || filepath.Base(stem) == "pytorch_lora_weights" {
		return stem + ".bin"
	}
	return stem + ".pt"
}
