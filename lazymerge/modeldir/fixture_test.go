package modeldir

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"lorafs/safetensors"
)

// weights is a small valid safetensors file.
func weights(t *testing.T) string {
	t.Helper()
	tensor, err := safetensors.FromBytes(safetensors.Info{Name: "w", DType: safetensors.U8, Shape: []int64{2}}, []byte{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, []*safetensors.Tensor{tensor}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// empty40 is what ZeRO-3 leaves: a valid file without tensors.
const empty40 = "\x20\x00\x00\x00\x00\x00\x00\x00{\"__metadata__\":{\"format\":\"pt\"}}"

const loraConfig = `{"peft_type":"LORA","r":8}`

// tree is file contents by path. "-> x" makes a link to x, a trailing slash an
// empty directory.
type tree map[string]string

func (files tree) write(t *testing.T, root string) string {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if name[len(name)-1] == '/' {
			mustDir(t, path)
			continue
		}
		mustDir(t, filepath.Dir(path))
		if len(text) > 3 && text[:3] == "-> " {
			if err := os.Symlink(text[3:], path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func mustDir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// noHub points the hub cache at an empty place.
func noHub(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HF_HUB_CACHE", dir)
	return dir
}

func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
