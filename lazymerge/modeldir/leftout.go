package modeldir

import (
	"path"
	"regexp"
	"strings"
)

// Reasons why a file or directory of the base is not in the tree.
const (
	otherFormat   = "weights in a format that is not merged"
	otherWeights  = "safetensors that are not the chosen weights"
	otherIndex    = "index of weights that are not in the tree"
	adapterFile   = "belongs to an adapter"
	trainingState = "state of a training run"
	notRegular    = "not a regular file"
	leaves        = "a link that leaves the directory"
	linkedDir     = "a link to a directory"
	danglingLink  = "a link to nothing"
	unreadable    = "cannot be read"
)

// leftOutDirs are directories that hold other forms of the same model.
var leftOutDirs = map[string]string{
	"original": otherFormat, // Meta's own checkpoint
	"onnx":     otherFormat,
	"openvino": otherFormat,
	"coreml":   otherFormat,
	"gguf":     otherFormat,
	"tflite":   otherFormat,
	"tf":       otherFormat,
	"flax":     otherFormat,
	"mlx":      otherFormat,
}

// leftOutExt are extensions of weights other than safetensors, and of Python
// objects, which no merged model needs.
var leftOutExt = map[string]string{
	".bin": otherFormat, ".pt": otherFormat, ".pth": otherFormat, ".ckpt": otherFormat,
	".gguf": otherFormat, ".ggml": otherFormat, ".msgpack": otherFormat, ".h5": otherFormat,
	".onnx": otherFormat, ".onnx_data": otherFormat, ".tflite": otherFormat, ".pb": otherFormat,
	".ot": otherFormat, ".npz": otherFormat, ".npy": otherFormat, ".mlmodel": otherFormat,
	".nemo": otherFormat, ".engine": otherFormat, ".plan": otherFormat, ".pdparams": otherFormat,
	".pkl": otherFormat, ".pickle": otherFormat, ".joblib": otherFormat, ".params": otherFormat,
	".safetensors": otherWeights,
}

// leftOutNames are patterns of whole file names.
var leftOutNames = []struct {
	pattern *regexp.Regexp
	reason  string
}{
	{regexp.MustCompile(`^adapter_(config\.json|model\..*)$`), adapterFile},
	{regexp.MustCompile(`^pytorch_lora_weights\.`), adapterFile},
	{regexp.MustCompile(`^training_args\.bin$|^(optimizer|scheduler|scaler)\.(pt|bin)$|^rng_state.*\.pth$|^trainer_state\.json$`), trainingState},
	{regexp.MustCompile(`\.(safetensors|bin|h5|msgpack)\.index(\.[\w-]+)?\.json$`), otherIndex},
	{regexp.MustCompile(`^openvino_.*\.xml$`), otherFormat},
	{regexp.MustCompile(`\.onnx[._]data`), otherFormat},
	{regexp.MustCompile(`\.(safetensors|gguf|bin|pt|pth)\.(part|partial|tmp|download|crdownload|aria2)$`), "an unfinished download"},
}

// leftOutDirNames are patterns of directory names.
var leftOutDirNames = []struct {
	pattern *regexp.Regexp
	reason  string
}{
	{regexp.MustCompile(`^checkpoint-\d+$`), trainingState},
	{regexp.MustCompile(`^global_step\d+$`), trainingState},
	{regexp.MustCompile(`\.(mlpackage|mlmodelc)$`), otherFormat},
}

// leftOutFile says why a file that was not chosen as weights stays out of the
// tree, "" when it belongs there.
func leftOutFile(p string) string {
	name := path.Base(p)
	for _, n := range leftOutNames {
		if n.pattern.MatchString(name) {
			return n.reason
		}
	}
	return leftOutExt[strings.ToLower(path.Ext(name))]
}

// leftOutDir is leftOutFile for directories.
func leftOutDir(p string) string {
	name := path.Base(p)
	for _, n := range leftOutDirNames {
		if n.pattern.MatchString(name) {
			return n.reason
		}
	}
	return leftOutDirs[strings.ToLower(name)]
}

// hidden reports whether a name is no part of a model for anybody: dot files,
// caches and what downloads leave behind.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__pycache__" ||
		strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".incomplete")
}
