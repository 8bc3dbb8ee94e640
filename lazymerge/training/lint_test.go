package training

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tree writes files and gives their directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// kinds lints a path and gives the kinds it finds.
func kinds(t *testing.T, path string) []Kind {
	t.Helper()
	risks, err := Lint(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []Kind
	for _, r := range risks {
		found = append(found, r.Kind)
	}
	return found
}

const (
	ds3      = `{"zero_optimization":{"stage":3}}`
	ds3Whole = `{"zero_optimization":{"stage":3,"stage3_gather_16bit_weights_on_model_save":true}}`
	dsFile   = "distributed_type: DEEPSPEED\ndeepspeed_config:\n  deepspeed_config_file: %s\n"
)

func TestLint(t *testing.T) {
	base64DS := base64.URLEncoding.EncodeToString([]byte(ds3))
	for name, c := range map[string]struct {
		files map[string]string
		want  []Kind
	}{
		"nothing":            {map[string]string{"adapter_config.json": `{"peft_type":"LORA"}`, "a.txt": "deepspeed"}, nil},
		"stage 2":            {map[string]string{"ds.json": `{"zero_optimization":{"stage":2}}`}, nil},
		"stage 2 as text":    {map[string]string{"ds.json": `{"zero_optimization":{"stage":"2"}}`}, nil},
		"no stage":           {map[string]string{"ds.json": `{"zero_optimization":{"overlap_comm":true}}`}, nil},
		"true":               {map[string]string{"ds.json": `{"zero_optimization":true}`}, nil},
		"stage 3.0":          {map[string]string{"ds.json": `{"zero_optimization":{"stage":3.0}}`}, []Kind{Ungathered}},
		"off":                {map[string]string{"ds.json": `{"zero_optimization":{"stage":3,"stage3_gather_16bit_weights_on_model_save":false}}`}, []Kind{Ungathered}},
		"on as text":         {map[string]string{"ds.json": `{"zero_optimization":{"stage":3,"stage3_gather_16bit_weights_on_model_save":"true"}}`}, nil},
		"field's name":       {map[string]string{"ds.json": `{"zero_optimization":{"stage":3,"gather_16bit_weights_on_model_save":true}}`}, nil},
		"comments":           {map[string]string{"ds.json": "{ // mine\n\"zero_optimization\":{\"stage\":3,}}"}, []Kind{Ungathered}},
		"auto elsewhere":     {map[string]string{"ds.json": `{"train_batch_size":"auto","zero_optimization":{"stage":3,"reduce_bucket_size":"auto","stage3_gather_16bit_weights_on_model_save":true}}`}, nil},
		"auto, new library":  {map[string]string{"ds.json": `{"zero_optimization":{"stage":3,"stage3_gather_16bit_weights_on_model_save":"auto"}}`, "requirements.txt": "transformers>=5"}, nil},
		"new library":        {map[string]string{"ds.json": ds3, "pip-freeze.txt": "transformers==5.23.0\n"}, nil},
		"text, new library":  {map[string]string{"ds.json": `{"zero_optimization":{"stage":"3"}}`, "pip-freeze.txt": "transformers==5.23.0\n"}, []Kind{StageText}},
		"model card":         {map[string]string{"ds.json": ds3, "checkpoint-9/README.md": "- Transformers 5.1.0\n"}, nil},
		"in a place":         {map[string]string{"configs/ds.json": ds3}, []Kind{Ungathered}},
		"not in a place":     {map[string]string{"deep/down/ds.json": ds3}, nil},
		"named":              {map[string]string{"acc.yaml": fmt.Sprintf(dsFile, "deep/down/ds.json"), "deep/down/ds.json": ds3}, []Kind{Ungathered}},
		"named from a place": {map[string]string{"configs/acc.yaml": fmt.Sprintf(dsFile, "x/ds.json"), "x/ds.json": ds3}, []Kind{Ungathered}},
		"named, gone":        {map[string]string{"acc.yaml": fmt.Sprintf(dsFile, "deep/ds.json")}, []Kind{Unreadable}},
		"named, outside":     {map[string]string{"acc.yaml": fmt.Sprintf(dsFile, "../../../../etc/ds.json")}, []Kind{Unreadable}},
		"named, absolute":    {map[string]string{"acc.yaml": fmt.Sprintf(dsFile, "/none/ds.json")}, []Kind{Unreadable}},
		"axolotl, gone":      {map[string]string{"axolotl.yml": "adapter: lora\ndeepspeed: deepspeed_configs/zero3_bf16.json\n"}, []Kind{Unreadable}},
		"factory, gone":      {map[string]string{"configs/sft.yaml": "stage: sft\ndeepspeed: examples/deepspeed/ds_z3_config.json\n"}, []Kind{Unreadable}},
		"JSON, gone":         {map[string]string{"args.json": `{"output_dir":"o","deepspeed":"ds.json"}`}, []Kind{Unreadable}},
		"no file's name":     {map[string]string{"swift.yaml": "deepspeed: zero2\n", "env.yaml": "deepspeed: 0.14.0\n"}, nil},
		"none":               {map[string]string{"acc.yaml": fmt.Sprintf(dsFile, "none")}, nil},
		"axolotl":            {map[string]string{"axolotl.yml": "base_model: x\nadapter: lora\ndeepspeed: z/zero3.json\n", "z/zero3.json": ds3}, []Kind{Ungathered}},
		"trainer, object":    {map[string]string{"training_args.json": `{"output_dir":"o","deepspeed":` + ds3 + `}`}, []Kind{Ungathered}},
		"trainer, base64":    {map[string]string{"trl.yaml": "deepspeed: " + base64DS + "\n"}, []Kind{Ungathered}},
		"accelerate, text":   {map[string]string{"acc.yaml": "distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: '3', zero3_save_16bit_model: 'true'}\n"}, nil},
		"accelerate, unused": {map[string]string{"acc.yaml": "distributed_type: MULTI_GPU\ndeepspeed_config: {zero_stage: 3}\n"}, nil},
		"two configs":        {map[string]string{"ds2.json": `{"zero_optimization":{"stage":2}}`, "ds3.json": ds3Whole, "acc.yaml": "distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 2}\n"}, nil},
		"old writer unused":  {map[string]string{"requirements.txt": "safetensors==0.4.0\n"}, nil},
		"fsdp 1 default":     {map[string]string{"acc.yaml": "distributed_type: FSDP\nfsdp_config: {fsdp_offload_params: false}\n"}, nil},
		"fsdp 2 default":     {map[string]string{"acc.yaml": "distributed_type: FSDP\nfsdp_config: {fsdp_version: 2}\n"}, []Kind{Sharded}},
		"fsdp local":         {map[string]string{"acc.yaml": "distributed_type: FSDP\nfsdp_config: {fsdp_state_dict_type: LOCAL_STATE_DICT}\n"}, []Kind{Sharded}},
		"fsdp number":        {map[string]string{"acc.yaml": "distributed_type: FSDP\nfsdp_config: {fsdp_state_dict_type: 3}\n"}, []Kind{Sharded}},
		"fsdp number full":   {map[string]string{"acc.yaml": "distributed_type: FSDP\nfsdp_config: {fsdp_state_dict_type: 1}\n"}, nil},
		"fsdp trainer":       {map[string]string{"t.json": `{"fsdp":"full_shard","fsdp_config":{"state_dict_type":"SHARDED_STATE_DICT"}}`}, []Kind{Sharded}},
		"fsdp 2 tf 5.0":      {map[string]string{"t.json": `{"fsdp":"full_shard","fsdp_config":{"version":2,"state_dict_type":"FULL_STATE_DICT"}}`, "requirements.txt": "transformers==5.0.0\n"}, []Kind{Sharded}},
		"fsdp 2 tf 5.9":      {map[string]string{"t.json": `{"fsdp":"full_shard","fsdp_config":{"version":2}}`, "requirements.txt": "transformers==5.9.0\n"}, []Kind{Sharded}},
		"fsdp 2 tf 5.10":     {map[string]string{"t.json": `{"fsdp":"full_shard","fsdp_config":{"version":2}}`, "requirements.txt": "transformers==5.10.1\n"}, nil},
		"fsdp 2 tf 4":        {map[string]string{"t.json": `{"fsdp":"full_shard","fsdp_config":{"version":2,"state_dict_type":"FULL_STATE_DICT"}}`, "requirements.txt": "transformers==4.57.6\n"}, nil},
		"fsdp 2 tf any":      {map[string]string{"t.json": `{"fsdp":"full_shard","fsdp_config":{"version":2}}`}, nil},
		"fsdp 2 launched":    {map[string]string{"t.json": `{"fsdp":"full_shard","fsdp_config":{"version":2,"state_dict_type":"FULL_STATE_DICT"}}`, "requirements.txt": "transformers==5.0.0\n", "acc.yaml": "distributed_type: FSDP\nfsdp_config: {fsdp_version: 2, fsdp_state_dict_type: FULL_STATE_DICT}\n"}, nil},
		"fsdp 2 axolotl":     {map[string]string{"a.yaml": "base_model: x\nfsdp_config: {fsdp_version: 2, state_dict_type: FULL_STATE_DICT}\n", "requirements.txt": "transformers==5.0.0\n"}, nil},
		"fsdp off":           {map[string]string{"t.json": `{"fsdp":"","fsdp_config":{"state_dict_type":"SHARDED_STATE_DICT"}}`}, nil},
		"fsdp final":         {map[string]string{"a.yaml": "fsdp: [full_shard]\nfsdp_config: {state_dict_type: SHARDED_STATE_DICT, final_state_dict_type: FULL_STATE_DICT}\n"}, nil},
		"named, broken":      {map[string]string{"acc.yaml": fmt.Sprintf(dsFile, "x2.json"), "x2.json": `{"deepspeed": {,`}, []Kind{Unreadable}},
		"broken JSON":        {map[string]string{"my.json": `{"zero_optimization": {"stage": 3,`}, []Kind{Unreadable}},
		"other broken JSON":  {map[string]string{"notes.json": `{"deepspeed`}, nil},
		"broken YAML":        {map[string]string{"default_config.yaml": "distributed_type: DEEPSPEED\n\t: x"}, []Kind{Unreadable}},
		"no mapping":         {map[string]string{"zero.json": `["zero_optimization"]`}, []Kind{Unreadable}},
	} {
		if got := kinds(t, tree(t, c.files)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestNamedFromAPlace looks at one file of a project, whose references are from its root.
func TestNamedFromAPlace(t *testing.T) {
	dir := tree(t, map[string]string{"configs/a.yaml": "deepspeed: ds/z.json\n", "ds/z.json": ds3})
	if got := kinds(t, filepath.Join(dir, "configs", "a.yaml")); !slices.Equal(got, []Kind{Ungathered}) {
		t.Error(got)
	}
	t.Chdir(filepath.Join(dir, "configs"))
	if got := kinds(t, "a.yaml"); !slices.Equal(got, []Kind{Ungathered}) {
		t.Errorf("from within: %v", got)
	}
	if err := os.Remove(filepath.Join(dir, "ds", "z.json")); err != nil {
		t.Fatal(err)
	}
	risks, err := Lint("a.yaml")
	if err != nil || len(risks) != 1 || risks[0].File != "a.yaml" ||
		risks[0].Message() != "the DeepSpeed config that it names, ds/z.json, is not here, so what the run saves cannot be judged" {
		t.Errorf("%+v, %v", risks, err)
	}
}

// TestNamedFromHere: names are from where a program is started.
func TestNamedFromHere(t *testing.T) {
	dir := tree(t, map[string]string{"examples/train/a.yaml": "deepspeed: examples/deepspeed/z.json\n", "examples/deepspeed/z.json": ds3})
	t.Chdir(dir)
	if got := kinds(t, "examples/train/a.yaml"); !slices.Equal(got, []Kind{Ungathered}) {
		t.Error(got)
	}
	t.Chdir(t.TempDir())
	if got := kinds(t, filepath.Join(dir, "examples/train/a.yaml")); !slices.Equal(got, []Kind{Unreadable}) {
		t.Errorf("from elsewhere: %v", got)
	}
}

// TestNamedElsewhere names a file that is there and outside of what is looked at.
func TestNamedElsewhere(t *testing.T) {
	dir := tree(t, map[string]string{"run/a.yaml": "deepspeed: ../z.json\n", "z.json": ds3})
	risks, err := Lint(filepath.Join(dir, "run"))
	if err != nil || len(risks) != 1 || !strings.Contains(risks[0].Message(), "../z.json, lies elsewhere and was not read") {
		t.Errorf("%+v, %v", risks, err)
	}
}

// TestPaths looks at one run from its files, its directory and its checkpoint.
func TestPaths(t *testing.T) {
	dir := tree(t, map[string]string{
		"ds.json": ds3, "requirements.txt": "transformers==4.50.0\n", "checkpoint-9/README.md": "", "checkpoint-10/x": "",
	})
	for _, path := range []string{dir, filepath.Join(dir, "ds.json"), filepath.Join(dir, "checkpoint-10")} {
		risks, err := Lint(path)
		if err != nil || len(risks) != 1 || risks[0].Kind != Ungathered || !strings.Contains(risks[0].Detail, "4.50.0") {
			t.Errorf("%s: %+v, %v", path, risks, err)
		}
	}
	t.Chdir(filepath.Join(dir, "checkpoint-10"))
	if got := kinds(t, "."); len(got) != 1 {
		t.Errorf("from within: %v", got)
	}
	if _, err := Lint(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

func TestReadNamesFiles(t *testing.T) {
	dir := tree(t, map[string]string{"ds.json": ds3Whole, "x.json": `{"note":"deepspeed"}`, "requirements.txt": "transformers==5.0"})
	r, err := Read(dir)
	if err != nil || len(r.Risks) > 0 || !slices.Equal(r.Files, []string{filepath.Join(dir, "ds.json")}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestSpecialFiles must not wait for a FIFO, read a large file or a directory.
func TestSpecialFiles(t *testing.T) {
	dir := tree(t, map[string]string{"ds.json/x": "", "large.json": ds3 + strings.Repeat(" ", maxBytes)})
	if err := syscall.Mkfifo(filepath.Join(dir, "ds_config.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop.yaml", filepath.Join(dir, "loop.yaml")); err != nil {
		t.Fatal(err)
	}
	if got := kinds(t, dir); got != nil {
		t.Errorf("%v", got)
	}
	if got := kinds(t, filepath.Join(dir, "ds_config.json")); got != nil {
		t.Errorf("a FIFO that is named: %v", got)
	}
}

// TestSamples reads what accelerate and transformers write.
func TestSamples(t *testing.T) {
	for name, want := range map[string][]Kind{
		"accelerate_inline.yaml": {Ungathered},
		"accelerate_file.yaml":   {Unreadable}, // without the file that it names
		"accelerate_fsdp.yaml":   {Sharded},
		"training_args.json":     nil,
	} {
		if got := kinds(t, filepath.Join("testdata", name)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	data, err := os.ReadFile("testdata/accelerate_inline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	healthy := strings.Replace(string(data), "zero3_save_16bit_model: false", "zero3_save_16bit_model: true", 1)
	if got := kinds(t, tree(t, map[string]string{"accelerate.yaml": healthy})); got != nil {
		t.Errorf("the healthy twin: %v", got)
	}
	data, err = os.ReadFile("testdata/accelerate_fsdp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	healthy = strings.Replace(string(data), "SHARDED_STATE_DICT", "FULL_STATE_DICT", 1)
	if got := kinds(t, tree(t, map[string]string{"accelerate.yaml": healthy})); got != nil {
		t.Errorf("the healthy twin: %v", got)
	}
}

func TestMessage(t *testing.T) {
	risks, err := Lint(tree(t, map[string]string{"ds.json": ds3}))
	if err != nil || len(risks) != 1 {
		t.Fatal(risks, err)
	}
	want := "zero_optimization.stage3_gather_16bit_weights_on_model_save is not set: " +
		"the stage is 3, and the version of transformers is not known to be 5.0 or later"
	if got := risks[0].Message(); got != want {
		t.Errorf("%q", got)
	}
}
