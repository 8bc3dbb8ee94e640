package training

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/torchfile/pickle"
)

// sampleArguments gives a directory that holds a sample as training_args.bin.
func sampleArguments(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".training_args.bin"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"training_args.bin": string(data)}
	for k, v := range files {
		all[k] = v
	}
	return tree(t, all)
}

// TestArguments reads files that transformers 5.23 wrote: under a DeepSpeed config that
// has stage 3 and "auto" for gathering, and under FSDP with a sharded state dict.
func TestArguments(t *testing.T) {
	dir := sampleArguments(t, "deepspeed", nil)
	o, err := readArguments(filepath.Join(dir, "training_args.bin"))
	if err != nil {
		t.Fatal(err)
	}
	z, ok := deepspeedZero("f", "", child(o, "deepspeed"))
	if stage, _ := z.stage.number(); !ok || stage != 3 || z.gather.value != false {
		t.Errorf("%+v", z)
	}
	if got := kinds(t, dir); got != nil {
		t.Errorf("under transformers 5: %v", got)
	}
	older := map[string]string{"pip-freeze.txt": "transformers==4.57.6\n"} // the two contradict each other
	if got := kinds(t, sampleArguments(t, "deepspeed", older)); !slices.Equal(got, []Kind{Ungathered}) {
		t.Errorf("with another version near: %v", got)
	}
	if got := kinds(t, sampleArguments(t, "fsdp", nil)); !slices.Equal(got, []Kind{Sharded}) {
		t.Errorf("FSDP: %v", got)
	}
}

func TestArgumentsOfOlderTransformers(t *testing.T) {
	const fields = `"output_dir":"o","adam_beta1":0.9,"ddp_timeout":1800,"dataloader_num_workers":0,"seed":42,"deepspeed":` + ds3
	newer := tree(t, map[string]string{"training_args.json": "{" + fields + "}"})
	if got := kinds(t, newer); got != nil {
		t.Errorf("5.0: %v", got)
	}
	risks, err := Lint(tree(t, map[string]string{"training_args.json": `{"per_gpu_train_batch_size":null,` + fields + "}"}))
	if err != nil || len(risks) != 1 || !strings.HasSuffix(risks[0].Detail, "training_args.json says transformers before 5.0") {
		t.Errorf("4.x: %+v, %v", risks, err)
	}
}

func TestArgumentsBroken(t *testing.T) {
	dir := tree(t, map[string]string{"training_args.bin": "PK\x03\x04"})
	if got := kinds(t, dir); got != nil {
		t.Errorf("%v", got)
	}
	if got := kinds(t, filepath.Join(dir, "training_args.bin")); !slices.Equal(got, []Kind{Unreadable}) {
		t.Errorf("named: %v", got)
	}
}

// TestPickledIsBounded converts values that hold themselves, as a pickle's memo allows.
func TestPickledIsBounded(t *testing.T) {
	list := &pickle.List{}
	list.Items = []any{list}
	wide := &pickle.List{}
	for range 10 {
		wide.Items = append(wide.Items, wide)
	}
	object := &pickle.Object{}
	object.Args = pickle.Tuple{object}
	for _, v := range []any{list, wide, object} {
		r := pickled{}
		if _, err := r.value(v, 0); err == nil {
			t.Errorf("%T ends", v)
		}
	}
}
