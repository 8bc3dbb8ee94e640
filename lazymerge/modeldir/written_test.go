package modeldir

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
)

// TestWritten has a directory that several trainers write to.
func TestWritten(t *testing.T) {
	w := weights(t)
	dir := tree{
		"checkpoint-9/optimizer.pt": "", "checkpoint-10/adapter_config.json": loraConfig, "checkpoint-2/": "",
		"epoch_1/adapter_model.safetensors": w, "runs/events": "", "tmp-checkpoint-11/adapter_config.json": loraConfig,
		"named/policy/adapter_config.json": loraConfig, "style.safetensors": w, "adapter_config.json": loraConfig, "adapter_model.safetensors": w,
		".hidden.safetensors": w, "checkpoint-x/x": "", "checkpoint-12": "a file",
	}.write(t, t.TempDir())
	want := []string{"checkpoint-2", "checkpoint-9", "checkpoint-10", "epoch_1", "named", "style.safetensors", "."}
	if got := Written(dir); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Written(filepath.Join(dir, "nothing")); got != nil {
		t.Errorf("a directory that is not there: %q", got)
	}
}

func TestCheckpointAdapters(t *testing.T) {
	w := weights(t)
	outside := tree{"adapter_config.json": loraConfig, "adapter_model.safetensors": w}.write(t, t.TempDir())
	dir := tree{
		"checkpoint-1/adapter_config.json": loraConfig, "checkpoint-1/adapter_model.safetensors": w,
		"checkpoint-2/b/adapter_config.json": loraConfig, "checkpoint-2/a/adapter_config.json": loraConfig,
		"checkpoint-3/optimizer.pt": "", "checkpoint-4": "-> " + outside, "checkpoint-5/pytorch_lora_weights.safetensors": w,
	}.write(t, t.TempDir())
	for name, want := range map[string][]string{"checkpoint-1": {"checkpoint-1"}, "checkpoint-2": {"checkpoint-2/a", "checkpoint-2/b"}, "checkpoint-5": {"checkpoint-5"}} {
		got, err := CheckpointAdapters(dir, name)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		for i, a := range got {
			if a.Name != want[i] || a.Err != nil || a.Ref != filepath.Join(dir, want[i]) || (a.File != "") != (name == "checkpoint-5") {
				t.Errorf("%s: %+v", name, a)
			}
		}
	}
	var none *UnhealthyError
	if got, err := CheckpointAdapters(dir, "checkpoint-3"); err != nil || len(got) != 1 || !errors.As(got[0].Err, &none) || none.Fault != NoAdapter {
		t.Errorf("no adapter: %+v, %v", got, err)
	}
	var link *LinkError
	if _, err := CheckpointAdapters(dir, "checkpoint-4"); !errors.As(err, &link) {
		t.Errorf("a link that leaves: %v", err)
	}
	if !IsCheckpoint("out/checkpoint-7/") || IsCheckpoint("out/checkpoint-7/x") || IsCheckpoint("checkpoint-x") {
		t.Error("names of checkpoints")
	}
}
