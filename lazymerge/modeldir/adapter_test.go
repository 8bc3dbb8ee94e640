package modeldir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func adapterNames(lib *Library) string {
	var names []string
	for _, a := range lib.Adapters {
		name := a.Name
		if a.Err != nil {
			name += "!"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// with puts files below a directory.
func (files tree) with(dir string, more tree) tree {
	for name, text := range more {
		files[dir+"/"+name] = text
	}
	return files
}

func lora(t *testing.T) tree {
	t.Helper()
	return tree{"adapter_config.json": loraConfig, "adapter_model.safetensors": weights(t)}
}

func broken() tree {
	return tree{"adapter_config.json": loraConfig, "adapter_model.safetensors": empty40}
}

func TestSingleAdapter(t *testing.T) {
	noHub(t)
	dir := tree{}.with("my-lora", lora(t)).with("my-lora", tree{
		"tokenizer.json": "{}", "tokenizer_config.json": "{}", "special_tokens_map.json": "{}", "added_tokens.json": "{}", "vocab.json": "{}",
		"merges.txt": "", "tokenizer.model": "", "spiece.model": "", "sentencepiece.bpe.model": "", "chat_template.jinja": "", "chat_template.json": "",
		"additional_chat_templates/tool.jinja": "", "additional_chat_templates/x.bin": "", "generation_config.json": "{}",
		"preprocessor_config.json": "{}", "processor_config.json": "{}", "video_preprocessor_config.json": "{}",
		"README.md": "", "optimizer.pt": "", "training_args.bin": "", "trainer_state.json": "", "rng_state_0.pth": "", "vocab.bin": "",
		"tokenization_x.py": "", "config.json": "{}", ".hidden": "", "model.safetensors": "",
	}).write(t, realDir(t))
	for _, ref := range []string{dir + "/my-lora", dir + "/my-lora/"} {
		lib, err := FindAdapters([]string{ref})
		if err != nil {
			t.Fatal(err)
		}
		if !lib.Single || adapterNames(lib) != "my-lora" || lib.Adapters[0].Dir != dir+"/my-lora" || lib.Adapters[0].Note != "" {
			t.Errorf("%+v", lib)
		}
		want := "added_tokens.json additional_chat_templates/tool.jinja chat_template.jinja chat_template.json generation_config.json merges.txt preprocessor_config.json " +
			"processor_config.json sentencepiece.bpe.model special_tokens_map.json spiece.model tokenizer.json tokenizer.model " +
			"tokenizer_config.json video_preprocessor_config.json vocab.json"
		if got := strings.Join(treePaths(lib.Adapters[0].Files), " "); got != want {
			t.Errorf("overlay %s\nwant    %s", got, want)
		}
	}
	lib, err := FindAdapters([]string{"x=" + dir + "/my-lora"})
	if err != nil || lib.Single || adapterNames(lib) != "x" {
		t.Errorf("%+v, %v", lib, err)
	}
}

// TestBrokenAdapterIsFound checks that this package leaves the verdict on an
// adapter's content to its parser: only what it chooses among must be healthy.
func TestBrokenAdapterIsFound(t *testing.T) {
	noHub(t)
	for _, files := range []tree{broken(), {"adapter_config.json": "{"}, {"adapter_model.safetensors": ""}, {"adapter_model.bin": ""}} {
		if lib, err := FindAdapters([]string{files.write(t, t.TempDir())}); err != nil || !lib.Single {
			t.Errorf("%v: %+v, %v", files, lib, err)
		}
	}
}

func TestLibrary(t *testing.T) {
	noHub(t)
	outside := tree{}.with("far", lora(t)).with("near", tree{"x.txt": ""}).write(t, realDir(t))
	dir := tree{
		"notes.txt": "", "empty/": "", ".hidden/adapter_config.json": "{}", "config-only/adapter_config.json": "{}",
		"weights-only/adapter_model.safetensors": "", "style.safetensors": weights(t), "link": "-> good", "far": "-> " + outside + "/far", "gone": "-> /mnt/unmounted/adapter", "gone.log": "-> nowhere",
		"near": "-> " + outside + "/near", "self": "-> .", "base/config.json": "{}", "base/model.safetensors": weights(t),
		"diffusers/pytorch_lora_weights.safetensors": weights(t), "odd.INVALID/adapter_config.json": "{}",
	}.with("good", lora(t)).with("broken", broken()).with("run/checkpoint-1", lora(t)).with("bad-run/checkpoint-1", broken()).write(t, realDir(t))
	lib, err := FindAdapters([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	want := "bad-run! broken config-only diffusers far! gone! good link odd.INVALID! run style weights-only"
	if got := adapterNames(lib); got != want || lib.Single || len(lib.Dirs) != 1 || lib.Dirs[0] != dir {
		t.Errorf("single %v, adapters %s\nwant %s", lib.Single, got, want)
	}
	for _, a := range lib.Adapters {
		if a.Name == "link" && a.Dir != dir+"/good" || a.Name == "run" && (a.Dir != dir+"/run/checkpoint-1" || a.Note == "") {
			t.Errorf("%+v", a)
		}
		var link *LinkError
		if a.Name == "gone" && !errors.Is(a.Err, fs.ErrNotExist) {
			t.Errorf("gone: %v", a.Err)
		}
		if a.Name == "far" && (!errors.As(a.Err, &link) || link.Root != dir) {
			t.Errorf("far: %v", a.Err)
		}
	}
	if _, err := FindAdapters([]string{"x=" + dir}); !isNameError(err) {
		t.Errorf("named library: %v", err)
	}
}

func isNameError(err error) bool {
	var e *NameError
	return errors.As(err, &e)
}

// TestLibraryOfOne checks that a library keeps its layout however many it holds.
func TestLibraryOfOne(t *testing.T) {
	noHub(t)
	lib, err := FindAdapters([]string{tree{}.with("policy", lora(t)).write(t, t.TempDir())})
	if err != nil || lib.Single || adapterNames(lib) != "policy" {
		t.Errorf("%+v, %v", lib, err)
	}
}

func TestTrainingOutput(t *testing.T) {
	noHub(t)
	placeholder := tree{"adapter_config.json": loraConfig, "adapter_model.safetensors": rawHeader(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`)}
	dir := tree{"checkpoint-9999/config.json": "{}", "checkpoint-x/adapter_config.json": "{}"}.
		with("checkpoint-2", lora(t)).
		with("checkpoint-90/policy", lora(t)).
		with("checkpoint-100", broken()).
		with("checkpoint-200", placeholder).
		with("checkpoint-300", tree{"adapter_config.json": "{", "adapter_model.safetensors": weights(t)}).
		with("checkpoint-400", tree{"adapter_config.json": loraConfig, "adapter_model.bin": "x"}).
		with("checkpoint-500", tree{"adapter_config.json": loraConfig, "adapter_model.safetensors": "{}"}).
		write(t, realDir(t))
	lib, err := FindAdapters([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	a := lib.Adapters[0]
	if !lib.Single || a.Dir != dir+"/checkpoint-90/policy" || a.Name != filepath.Base(dir) {
		t.Errorf("%+v", lib)
	}
	for _, name := range []string{"checkpoint-100", "checkpoint-200", "checkpoint-300", "checkpoint-400", "checkpoint-500", "checkpoint-90/policy was"} {
		if !strings.Contains(a.Note, name) {
			t.Errorf("note lacks %s: %s", name, a.Note)
		}
	}
	if strings.Contains(a.Note, "checkpoint-2 ") {
		t.Errorf("note names an older one: %s", a.Note)
	}

	lora(t).write(t, dir)
	if lib, err = FindAdapters([]string{dir}); err != nil || lib.Adapters[0].Dir != dir {
		t.Errorf("own adapter: %+v, %v", lib, err)
	}

	dir = tree{}.with("checkpoint-1", broken()).with("checkpoint-2", broken()).write(t, realDir(t))
	_, err = FindAdapters([]string{dir})
	var none *NoCheckpointError
	var unhealthy *UnhealthyError
	if !errors.As(err, &none) || len(none.Skipped) != 2 || none.Skipped[0].Name != "checkpoint-2" || !errors.As(err, &unhealthy) {
		t.Errorf("all broken: %v", err)
	}
}

func rawHeader(json string) string {
	return string(rune(len(json))) + strings.Repeat("\x00", 7) + json
}

func TestAdaptersBesideTheDefault(t *testing.T) {
	noHub(t)
	dir := lora(t).with("reward", lora(t)).with("checkpoint-1", lora(t)).write(t, t.TempDir())
	lib, err := FindAdapters([]string{dir})
	if err != nil || !lib.Single || !strings.HasSuffix(lib.Adapters[0].Note, "it also holds reward") {
		t.Errorf("%+v, %v", lib, err)
	}
}

// TestDiffusersAdapters: what diffusers' trainers leave behind, and one file by itself.
func TestDiffusersAdapters(t *testing.T) {
	noHub(t)
	const name = "pytorch_lora_weights.safetensors"
	w := weights(t)
	run := tree{"checkpoint-500/" + name: w, "checkpoint-1000/" + name: w, "checkpoint-1500/" + name: "", "checkpoint-1000/optimizer.bin": ""}.write(t, realDir(t))
	lib, err := FindAdapters([]string{run})
	if err != nil || !lib.Single || lib.Adapters[0].File != run+"/checkpoint-1000/"+name || !strings.Contains(lib.Adapters[0].Note, "checkpoint-1500") {
		t.Errorf("%+v, %v", lib, err)
	}
	done := tree{name: w, "checkpoint-500/" + name: w}.write(t, realDir(t))
	lib, err = FindAdapters([]string{done})
	if err != nil || !lib.Single || lib.Adapters[0].File != done+"/"+name {
		t.Errorf("%+v, %v", lib, err)
	}
	dir := tree{"a.safetensors": w, "b.safetensors": "-> a.safetensors"}.write(t, realDir(t))
	t.Chdir(dir)
	for _, ref := range []string{"a.safetensors", "./b.safetensors", dir + "/a.safetensors"} {
		lib, err = FindAdapters([]string{ref})
		if err != nil || !lib.Single || lib.Adapters[0].File != dir+"/a.safetensors" {
			t.Errorf("%s: %+v, %v", ref, lib, err)
		}
	}
	lib, err = FindAdapters([]string{"x=a.safetensors"})
	if err != nil || lib.Single || lib.Adapters[0].Name != "x" || lib.Adapters[0].File != dir+"/a.safetensors" {
		t.Errorf("%+v, %v", lib, err)
	}
}

// torchSample is a file that torch wrote.
func torchSample(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../torchfile/testdata/samples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTorchAdapters: weights of torch.save count as safetensors do, behind them.
func TestTorchAdapters(t *testing.T) {
	noHub(t)
	good, empty, values := torchSample(t, "module-legacy.pt"), torchSample(t, "empty.pt"), torchSample(t, "values.pt")
	for name, c := range map[string]struct {
		files tree
		fault Fault
	}{
		"good":              {tree{"adapter_model.bin": good}, 0},
		"pt":                {tree{"adapter_model.pt": good}, 0},
		"safetensors first": {tree{"adapter_model.bin": "x", "adapter_model.safetensors": weights(t)}, 0},
		"empty":             {tree{"adapter_model.bin": empty}, WeightsEmpty},
		"values":            {tree{"adapter_model.bin": values}, WeightsBroken},
		"broken":            {tree{"adapter_model.bin": good[:300]}, WeightsBroken},
		"broken first":      {tree{"adapter_model.bin": good, "adapter_model.safetensors": "x"}, WeightsBroken},
	} {
		err := Healthy(tree{"adapter_config.json": loraConfig}.with("", c.files).write(t, t.TempDir()))
		if c.fault == 0 && err == nil {
			continue
		}
		if e := (*UnhealthyError)(nil); c.fault == 0 || !errors.As(err, &e) || e.Fault != c.fault {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := tree{"a.pt": good, "b.ckpt": good, "pytorch_lora_weights.bin": good, "optimizer.pt": good}.write(t, realDir(t))
	for ref, file := range map[string]string{"a.pt": "a.pt", "b.ckpt": "b.ckpt", "pytorch_lora_weights.bin": "pytorch_lora_weights.bin", "": "pytorch_lora_weights.bin"} {
		lib, err := FindAdapters([]string{filepath.Join(dir, ref)})
		if err != nil || !lib.Single || lib.Adapters[0].File != filepath.Join(dir, file) {
			t.Errorf("%q: %+v, %v", ref, lib, err)
		}
	}
	lib, err := FindAdapters([]string{filepath.Join(dir, "a.pt"), filepath.Join(dir, "b.ckpt")})
	if err != nil || adapterNames(lib) != "a b" {
		t.Errorf("%+v, %v", lib, err)
	}
	run := tree{"checkpoint-1/pytorch_lora_weights.bin": good, "checkpoint-2/pytorch_lora_weights.bin": "x"}.write(t, realDir(t))
	lib, err = FindAdapters([]string{run})
	if err != nil || lib.Adapters[0].File != run+"/checkpoint-1/pytorch_lora_weights.bin" {
		t.Errorf("%+v, %v", lib, err)
	}
}

func TestSeveralRefs(t *testing.T) {
	noHub(t)
	dir := tree{"k.safetensors": weights(t)}.with("a", lora(t)).with("b", lora(t)).with("other/a", lora(t)).write(t, realDir(t))
	lib, err := FindAdapters([]string{dir + "/b", "x=" + dir + "/a", dir + "/k.safetensors"})
	if err != nil || lib.Single || adapterNames(lib) != "b k x" || lib.Adapters[1].File != dir+"/k.safetensors" {
		t.Errorf("%+v, %v", lib, err)
	}
	_, err = FindAdapters([]string{dir + "/a", dir + "/other/a"})
	var collision *NameCollisionError
	if !errors.As(err, &collision) || collision.Refs != [2]string{dir + "/a", dir + "/other/a"} {
		t.Errorf("collision: %v", err)
	}
	if _, err = FindAdapters([]string{"y=" + dir + "/a", dir + "/other/a"}); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	noHub(t)
	dir := lora(t).write(t, t.TempDir())
	for _, name := range []string{"", ".x", "a.INVALID", strings.Repeat("n", 250), "a\nb", "a/b"} {
		if _, err := FindAdapters([]string{name + "=" + dir}); !isNameError(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
	var missing *NotFoundError
	if _, err := FindAdapters([]string{"runs/lr=" + dir + "/missing"}); !errors.As(err, &missing) || missing.Ref != "runs/lr="+dir+"/missing" {
		t.Errorf("a path with an equals sign: %v", err)
	}
}

func TestAdapterErrors(t *testing.T) {
	noHub(t)
	w := weights(t)
	outside := tree{"w": w}.write(t, realDir(t))
	fifo := tree{"adapter_config.json": "{}"}.write(t, t.TempDir())
	if err := syscall.Mkfifo(filepath.Join(fifo, "adapter_model.safetensors"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ref  string
		want any
	}{
		"missing":     {"/nowhere/at/all", new(*NotFoundError)},
		"empty":       {t.TempDir(), new(*NotAdapterError)},
		"base":        {tree{"config.json": "{}", "model.safetensors": w}.write(t, t.TempDir()), new(*NotAdapterError)},
		"linked":      {tree{"pytorch_lora_weights.safetensors": "-> " + outside + "/w"}.write(t, t.TempDir()), new(*LinkError)},
		"a text":      {tree{"x.txt": ""}.write(t, t.TempDir()) + "/x.txt", new(*NotAdapterError)},
		"fifo":        {fifo, new(*FileKindError)},
		"link":        {tree{"adapter_config.json": "{}", "adapter_model.safetensors": "-> " + outside + "/w"}.write(t, t.TempDir()), new(*LinkError)},
		"config link": {tree{"adapter_config.json": "-> " + outside + "/w"}.write(t, t.TempDir()), new(*LinkError)},
	} {
		lib, err := FindAdapters([]string{c.ref})
		if err == nil || !errors.As(err, c.want) {
			t.Errorf("%s: %+v, %T %v", name, lib, err, err)
		}
	}
}

// TestFileOfAnAdapter: who names a file of an adapter means the directory.
func TestFileOfAnAdapter(t *testing.T) {
	dir := lora(t).write(t, realDir(t))
	t.Chdir(dir)
	for _, ref := range []string{dir + "/adapter_model.safetensors", dir + "/adapter_config.json", "adapter_model.safetensors"} {
		lib, err := FindAdapters([]string{ref})
		if err != nil || !lib.Single || lib.Adapters[0].Dir != dir || lib.Adapters[0].Name != filepath.Base(dir) {
			t.Errorf("%s: %+v, %v", ref, lib, err)
		}
	}
}

// TestCachedAdapters checks ids of the hub cache, whose files are links, also in
// sub-directories of the repository.
func TestCachedAdapters(t *testing.T) {
	cache := noHub(t)
	blobs := tree{"models--org--l/blobs/c": loraConfig, "models--org--l/blobs/w": weights(t), "models--org--l/refs/main": "cafe"}
	for i, dir := range []string{"", "/one", "/two/checkpoint-7"} {
		id := []string{"l", "lib", "lib"}[i]
		up := strings.Repeat("../", 2+strings.Count(dir, "/"))
		snapshot := fmt.Sprintf("models--org--%s/snapshots/cafe%s/", id, dir)
		blobs[snapshot+"adapter_config.json"] = "-> " + up + "blobs/c"
		blobs[snapshot+"adapter_model.safetensors"] = "-> " + up + "blobs/w"
	}
	for _, name := range []string{"blobs/c", "blobs/w", "refs/main"} {
		blobs["models--org--lib/"+name] = blobs["models--org--l/"+name]
	}
	blobs.write(t, cache)
	lib, err := FindAdapters([]string{"org/l"})
	if err != nil || !lib.Single || adapterNames(lib) != "org--l" {
		t.Errorf("%+v, %v", lib, err)
	}
	lib, err = FindAdapters([]string{"org/lib"})
	if err != nil || lib.Single || adapterNames(lib) != "one two" {
		t.Errorf("%+v, %v", lib, err)
	}
	lib, err = FindAdapters([]string{"z=org/l@main", "org/l"})
	if err != nil || adapterNames(lib) != "org--l z" {
		t.Errorf("%+v, %v", lib, err)
	}
}

func TestSharedTokenizerInLibrary(t *testing.T) {
	noHub(t)
	dir := tree{"shared/tokenizer.json": "{}", "a/tokenizer.json": "-> ../shared/tokenizer.json"}.with("a", lora(t)).write(t, t.TempDir())
	lib, err := FindAdapters([]string{dir})
	if err != nil || !reflect.DeepEqual(treePaths(lib.Adapters[0].Files), []string{"tokenizer.json"}) {
		t.Errorf("%+v, %v", lib, err)
	}
}
