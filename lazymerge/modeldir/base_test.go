package modeldir

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

const index2 = `{"metadata":{},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`

func treePaths(files []File) []string {
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	return paths
}

func shardPaths(b *Base) []string {
	var names []string
	for _, c := range b.Components {
		for _, s := range c.Shards {
			names = append(names, c.Dir+":"+s.Name)
		}
	}
	return names
}

// TestOpenBase checks which weights are chosen and what the tree shows.
func TestOpenBase(t *testing.T) {
	noHub(t)
	w := weights(t)
	for name, c := range map[string]struct {
		files  tree
		shards string
		paths  string
	}{
		"single": {
			files:  tree{"config.json": "{}", "model.safetensors": w, "tokenizer.json": "{}", "code/x.py": "1"},
			shards: ":model.safetensors",
			paths:  "code/x.py config.json model.safetensors tokenizer.json",
		},
		"sharded beside copies in other forms": {
			files: tree{
				"model.safetensors.index.json": index2, "model-00001-of-00002.safetensors": w, "model-00002-of-00002.safetensors": w,
				"consolidated.safetensors": w, "consolidated-00001-of-00001.safetensors": w, "model.fp16.safetensors": w,
				"pytorch_model.bin": "x", "pytorch_model.bin.index.json": "{}", "x.gguf": "x", "x.pth": "x", "tf_model.h5": "x",
				"flax_model.msgpack": "x", "original/params.json": "{}", "onnx/model.onnx": "x", "onnx/config.json": "{}",
				"openvino/openvino_model.xml": "x", "openvino_model.xml": "x", "sub/model.safetensors": w, "sub/notes.txt": "x",
				"adapter_config.json": "{}", "adapter_model.safetensors": w, "optimizer.pt": "x", "config.json": "{}",
				".git/config": "x", ".cache/huggingface/x": "x", "__pycache__/x.pyc": "x", "a.lock": "", "b.incomplete": "", ".lorafs/x": "",
				"checkpoint-5/config.json": "{}",
			},
			shards: ":model-00001-of-00002.safetensors :model-00002-of-00002.safetensors",
			paths:  "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json sub/notes.txt",
		},
		"single file wins over an index that does not name it": {
			files:  tree{"model.safetensors": w, "model.safetensors.index.json": index2, "model-00001-of-00002.safetensors": w},
			shards: ":model.safetensors",
			paths:  "model.safetensors",
		},
		"index that names the single file and another": {
			files: tree{"model.safetensors": w, "model-mtp.safetensors": w,
				"model.safetensors.index.json": `{"weight_map":{"a":"model.safetensors","b":"model-mtp.safetensors"}}`},
			shards: ":model-mtp.safetensors :model.safetensors",
			paths:  "model-mtp.safetensors model.safetensors model.safetensors.index.json",
		},
		"one other name": {
			files:  tree{"weights.safetensors": w, "consolidated.safetensors": w},
			shards: ":weights.safetensors",
			paths:  "weights.safetensors",
		},
		"variant alone": {
			files:  tree{"model.fp16.safetensors": w},
			shards: ":model.fp16.safetensors",
			paths:  "model.fp16.safetensors",
		},
		"sharded variant alone": {
			files: tree{"model.safetensors.index.fp16.json": `{"weight_map":{"a":"model.fp16-00001-of-00001.safetensors"}}`,
				"model.fp16-00001-of-00001.safetensors": w},
			shards: ":model.fp16-00001-of-00001.safetensors",
			paths:  "model.fp16-00001-of-00001.safetensors model.safetensors.index.fp16.json",
		},
		"consolidated alone": {
			files:  tree{"consolidated.safetensors": w, "params.json": "{}"},
			shards: ":consolidated.safetensors",
			paths:  "consolidated.safetensors params.json",
		},
		"shards in a sub-directory": {
			files:  tree{"model.safetensors.index.json": `{"weight_map":{"a":"onnx/a.safetensors"}}`, "onnx/a.safetensors": w, "onnx/b.onnx": "x"},
			shards: ":onnx/a.safetensors",
			paths:  "model.safetensors.index.json onnx/a.safetensors",
		},
		"sentence-transformers module": {
			files: tree{"model.safetensors": w, "modules.json": `[{"path":""},{"path":"2_Dense"}]`,
				"2_Dense/model.safetensors": w, "2_Dense/config.json": "{}", "3_Other/model.safetensors": w},
			shards: ":model.safetensors",
			paths:  "2_Dense/config.json 2_Dense/model.safetensors model.safetensors modules.json",
		},
		"pipeline": {
			files: tree{
				"model_index.json": `{"_class_name":"X","_diffusers_version":"1","unet":["diffusers","U"],"text_encoder":["transformers","T"],
					"scheduler":["diffusers","S"],"safety_checker":[null,null],"vae":["diffusers","V"],"absent":["diffusers","V"]}`,
				"unet/diffusion_pytorch_model.safetensors": w, "unet/diffusion_pytorch_model.fp16.safetensors": w, "unet/config.json": "{}",
				"vae/diffusion_pytorch_model.safetensors.index.json": `{"weight_map":{"a":"v-1.safetensors"}}`, "vae/v-1.safetensors": w,
				"text_encoder/model.safetensors": w, "text_encoder/pytorch_model.bin": "x", "scheduler/scheduler_config.json": "{}",
				"safety_checker/model.safetensors": w, "v1-5-pruned.safetensors": w, "v1-5-pruned-emaonly.safetensors": w,
			},
			shards: "text_encoder:model.safetensors unet:diffusion_pytorch_model.safetensors vae:v-1.safetensors",
			paths: "model_index.json scheduler/scheduler_config.json text_encoder/model.safetensors unet/config.json " +
				"unet/diffusion_pytorch_model.safetensors vae/diffusion_pytorch_model.safetensors.index.json vae/v-1.safetensors",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := OpenBase(c.files.write(t, t.TempDir()))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(shardPaths(b), " "); got != c.shards {
				t.Errorf("shards %s\nwant   %s", got, c.shards)
			}
			if got := strings.Join(treePaths(b.Files), " "); got != c.paths {
				t.Errorf("files %s\nwant  %s\nleft out %q", got, c.paths, b.LeftOut)
			}
			for name := range c.files {
				shown := strings.Contains(" "+c.paths+" ", " "+name+" ")
				if !shown && !strings.HasPrefix(name, ".") && !hidden(filepath.Base(name)) && !strings.HasPrefix(name, "__py") && !leftOutNamed(b, name) {
					t.Errorf("%s is neither in the tree nor in %q", name, b.LeftOut)
				}
			}
		})
	}
}

func leftOutNamed(b *Base, name string) bool {
	for _, l := range b.LeftOut {
		path, _, _ := strings.Cut(l, ": ")
		if path == name || strings.HasSuffix(path, "/") && strings.HasPrefix(name, path) {
			return true
		}
	}
	return false
}

func TestOpenBaseConfig(t *testing.T) {
	noHub(t)
	dir := tree{"config.json": `{"a":1}`, "model.safetensors": weights(t)}.write(t, t.TempDir())
	b, err := OpenBase(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := b.Components[0]
	if string(c.Config) != `{"a":1}` || c.ConfigPath != "config.json" || c.Index != nil || c.IndexPath != "" {
		t.Errorf("component %+v", c)
	}
}

func TestOpenBaseFile(t *testing.T) {
	noHub(t)
	dir := tree{"blob": weights(t), "x.safetensors": "-> blob", "config.json": "{}"}.write(t, realDir(t))
	b, err := OpenBase(filepath.Join(dir, "x.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if got := treePaths(b.Files); !b.SingleFile || !reflect.DeepEqual(got, []string{"x.safetensors"}) {
		t.Errorf("single %v, files %v", b.SingleFile, got)
	}
	if got := b.Components[0].Shards[0].Host; got != filepath.Join(dir, "blob") {
		t.Errorf("host %s", got)
	}
}

func TestOpenBaseNotModel(t *testing.T) {
	noHub(t)
	w := weights(t)
	for name, c := range map[string]struct {
		files tree
		file  string
		want  Found
	}{
		"empty":                    {tree{"a/": ""}, "", FoundNothing},
		"config only":              {tree{"config.json": "{}"}, "", FoundNothing},
		"adapter":                  {tree{"adapter_config.json": "{}", "adapter_model.safetensors": w}, "", FoundAdapter},
		"bin":                      {tree{"pytorch_model.bin": "x"}, "", FoundOtherFormat},
		"gguf file":                {tree{"x.gguf": "x"}, "x.gguf", FoundOtherFormat},
		"several":                  {tree{"a.safetensors": w, "b.safetensors": w}, "", FoundSeveral},
		"lone shard":               {tree{"model-00001-of-00002.safetensors": w}, "", FoundShard},
		"shard file":               {tree{"model-00001-of-00002.safetensors": w}, "model-00001-of-00002.safetensors", FoundShard},
		"adapter file":             {tree{"adapter_model.safetensors": w}, "adapter_model.safetensors", FoundAdapter},
		"below":                    {tree{"x/model.safetensors": w}, "", FoundBelow},
		"pipeline without weights": {tree{"model_index.json": `{"unet":["d","U"]}`, "unet/x.bin": "x"}, "", FoundOtherFormat},
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.files.write(t, t.TempDir())
			_, err := OpenBase(filepath.Join(dir, c.file))
			var e *NotModelError
			if !errors.As(err, &e) || e.Found != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestIndexStaysInside checks that no index leads to a file that nobody named.
func TestIndexStaysInside(t *testing.T) {
	noHub(t)
	root := realDir(t)
	tree{"secret.safetensors": weights(t)}.write(t, root)
	for i, name := range []string{
		"../secret.safetensors", root + "/secret.safetensors", "x/../../secret.safetensors", "./a.safetensors", "a//b.safetensors",
		"..\\secret.safetensors", ".lorafs/a.safetensors", "config.json", "", "adapter_model.safetensors", "a/../b.safetensors",
	} {
		dir := tree{
			"model.safetensors.index.json": `{"weight_map":{"a":"` + strings.ReplaceAll(name, `\`, `\\`) + `"}}`,
			"a.safetensors":                weights(t),
		}.write(t, filepath.Join(root, string(rune('a'+i))))
		b, err := OpenBase(dir)
		var e *IndexPathError
		if !errors.As(err, &e) || e.Name != name {
			t.Errorf("%q: %+v, %v", name, b, err)
		}
	}
}

func TestBrokenIndex(t *testing.T) {
	noHub(t)
	var broken *IndexError
	for _, text := range []string{"", "{", "[]", `{"weight_map":{}}`, `{"weight_map":{"a":1}}`} {
		dir := tree{"model.safetensors.index.json": text}.write(t, t.TempDir())
		if _, err := OpenBase(dir); !errors.As(err, &broken) {
			t.Errorf("%q: %v", text, err)
		}
	}
	dir := tree{"model.safetensors.index.json": index2, "model-00001-of-00002.safetensors": weights(t)}.write(t, t.TempDir())
	_, err := OpenBase(dir)
	var missing *MissingShardError
	if !errors.As(err, &missing) || !reflect.DeepEqual(missing.Names, []string{"model-00002-of-00002.safetensors"}) || missing.Of != 2 {
		t.Errorf("missing shard: %v", err)
	}
}

// TestLinks checks the rule for links: inside yes, outside never.
func TestLinks(t *testing.T) {
	noHub(t)
	w := weights(t)
	outside := tree{"secret.txt": "s", "x.safetensors": w, "dir/a.txt": "s"}.write(t, realDir(t))
	dir := tree{
		"real/w.bin": w, "model.safetensors": "-> real/w.bin", "notes.txt": "x", "again.txt": "-> notes.txt",
		"secret.txt": "-> " + outside + "/secret.txt", "dir": "-> " + outside + "/dir", "inner": "-> real", "gone.txt": "-> nowhere",
	}.write(t, realDir(t))
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := OpenBase(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(treePaths(b.Files), " "); got != "again.txt model.safetensors notes.txt" {
		t.Errorf("files %s", got)
	}
	for _, f := range b.Files {
		if !strings.HasPrefix(f.Host, dir+"/") {
			t.Errorf("%s shows %s", f.Path, f.Host)
		}
	}
	want := []string{
		"dir: " + leaves, "fifo: " + notRegular, "gone.txt: " + danglingLink, "inner: " + linkedDir,
		"real/w.bin: " + otherFormat, "secret.txt: " + leaves,
	}
	if !reflect.DeepEqual(b.LeftOut, want) {
		t.Errorf("left out %q\nwant %q", b.LeftOut, want)
	}

	dir = tree{"model.safetensors": "-> " + outside + "/x.safetensors"}.write(t, realDir(t))
	_, err = OpenBase(dir)
	var link *LinkError
	if !errors.As(err, &link) || link.Target != filepath.Join(outside, "x.safetensors") {
		t.Errorf("weights outside: %v", err)
	}
}

// TestWeightsThatBlock checks that a FIFO in the place of a file is refused and not
// opened, which would never return.
func TestWeightsThatBlock(t *testing.T) {
	noHub(t)
	for _, name := range []string{"model.safetensors", "model.safetensors.index.json", "config.json", "model_index.json"} {
		dir := tree{"x.safetensors": weights(t)}.write(t, t.TempDir())
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := OpenBase(dir)
		var kind *FileKindError
		if !errors.As(err, &kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	noHub(t)
	dir := tree{"model.safetensors": weights(t), strings.Repeat("d/", maxDepth+1) + "x": ""}.write(t, t.TempDir())
	_, err := OpenBase(dir)
	var limit *LimitError
	if !errors.As(err, &limit) {
		t.Errorf("got %v", err)
	}
}

// hubRepo writes a cached repository as the hub client does.
func hubRepo(t *testing.T, cache string) string {
	t.Helper()
	const commit = "0123456789012345678901234567890123456789"
	repo := filepath.Join(cache, "models--org--m")
	tree{
		"blobs/aa": weights(t), "blobs/bb": "{}", "refs/main": commit, "refs/refs/pr/1": commit, "refs/gone": "beef",
		"snapshots/" + commit + "/model.safetensors": "-> ../../blobs/aa",
		"snapshots/" + commit + "/sub/config.json":   "-> ../../../blobs/bb",
		"snapshots/" + commit + "/evil.txt":          "-> ../../../../evil.txt",
		"snapshots/" + commit + "/refs.txt":          "-> ../../refs/main",
	}.write(t, repo)
	return filepath.Join(repo, "snapshots", commit)
}

func TestHubCache(t *testing.T) {
	cache := noHub(t)
	tree{"evil.txt": "x"}.write(t, cache)
	snapshot := hubRepo(t, cache)
	for _, ref := range []string{"org/m", "org/m@main", "org/m@refs/pr/1", "org/m@" + filepath.Base(snapshot), snapshot} {
		b, err := OpenBase(ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if got := strings.Join(treePaths(b.Files), " "); got != "model.safetensors sub/config.json" {
			t.Errorf("%s: files %s", ref, got)
		}
	}
	for _, ref := range []string{"org/m@nope", "org/m@../..", "org/m@gone"} {
		_, err := OpenBase(ref)
		var missing *NotFoundError
		if !errors.As(err, &missing) || strings.Join(missing.Revisions, " ") != filepath.Base(snapshot)+" main refs/pr/1" {
			t.Errorf("%s: %v", ref, err)
		}
	}
	_, err := OpenBase("org/other")
	var missing *NotFoundError
	if !errors.As(err, &missing) || len(missing.Looked) != 2 || missing.Looked[1] != filepath.Join(cache, "models--org--other") {
		t.Errorf("got %v", err)
	}
}

func TestHubCachePlaces(t *testing.T) {
	home := t.TempDir()
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{nil, home + "/.cache/huggingface/hub"},
		{map[string]string{"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"},
		{map[string]string{"XDG_CACHE_HOME": "/x", "HF_HOME": "~/h"}, home + "/h/hub"},
		{map[string]string{"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"},
		{map[string]string{"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "$HOME/c"}, home + "/c"},
	} {
		for _, v := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"} {
			t.Setenv(v, c.env[v])
		}
		t.Setenv("HOME", home)
		if got := hubCache(); got != c.want {
			t.Errorf("%v: %s, want %s", c.env, got, c.want)
		}
	}
}

// TestPathWins checks that what exists as written is never taken for an id.
func TestPathWins(t *testing.T) {
	hubRepo(t, noHub(t))
	t.Chdir(t.TempDir())
	tree{"org/m/model.safetensors": weights(t), "org/m/here.txt": ""}.write(t, ".")
	b, err := OpenBase("org/m")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(treePaths(b.Files), " "); got != "here.txt model.safetensors" {
		t.Errorf("files %s", got)
	}
}

// TestDownloadDirectory checks a directory that an older hub client filled with
// links to the blobs of its cache.
func TestDownloadDirectory(t *testing.T) {
	cache := noHub(t)
	blob := strings.Repeat("ab", 32)
	tree{"models--org--m/blobs/" + blob: weights(t), "models--org--m/refs/main": "x"}.write(t, cache)
	dir := tree{
		"model.safetensors": "-> " + cache + "/models--org--m/blobs/" + blob,
		"other.txt":         "-> " + cache + "/models--org--m/refs/main",
	}.write(t, t.TempDir())
	b, err := OpenBase(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(treePaths(b.Files), " "); got != "model.safetensors" {
		t.Errorf("files %s", got)
	}
}
