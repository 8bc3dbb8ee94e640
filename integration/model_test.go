package integration

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"lorafs/safetensors"
)

// openWeights opens a file until the test ends.
func openWeights(t testing.TB, path string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// weightFiles lists the safetensors files of a model directory; none is an error.
func weightFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no weights in %s: %v", dir, err)
	}
	return files
}

// readModel opens the weights of a model directory and checks that its index,
// if it has one, tells the truth.
func readModel(t testing.TB, dir string) map[string]*safetensors.Tensor {
	t.Helper()
	tensors := make(map[string]*safetensors.Tensor)
	places := make(map[string]string)
	var size int64
	for _, path := range weightFiles(t, dir) {
		for _, tensor := range openWeights(t, path).Tensors() {
			if tensors[tensor.Name] != nil {
				t.Errorf("tensor %s is in two files", tensor.Name)
			}
			tensors[tensor.Name] = tensor
			places[tensor.Name] = filepath.Base(path)
			n, err := tensor.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			size += n
		}
	}
	checkIndex(t, filepath.Join(dir, "model.safetensors.index.json"), places, size)
	return tensors
}

func checkIndex(t testing.TB, path string, places map[string]string, size int64) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if distinct(places) > 1 {
			t.Errorf("%s: several shards and no index", filepath.Dir(path))
		}
		return
	}
	var index struct {
		Metadata struct {
			TotalSize int64 `json:"total_size"`
		} `json:"metadata"`
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := errors.Join(err, json.Unmarshal(raw, &index)); err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if index.Metadata.TotalSize != size {
		t.Errorf("%s: total_size is %d, the tensors have %d bytes", path, index.Metadata.TotalSize, size)
	}
	for name, shard := range index.WeightMap {
		if places[name] != shard {
			t.Errorf("%s: %s is said to be in %s, it is in %q", path, name, shard, places[name])
		}
	}
	for name, shard := range places {
		if index.WeightMap[name] == "" {
			t.Errorf("%s: %s of %s is not listed", path, name, shard)
		}
	}
}

func distinct(places map[string]string) int {
	seen := make(map[string]bool)
	for _, place := range places {
		seen[place] = true
	}
	return len(seen)
}
