package diagnose

import (
	"os"
	"path/filepath"
	"testing"

	"lorafs/lazymerge"
	"lorafs/lazymerge/checkpoint"
	"lorafs/lazymerge/recovery"
)

const realCheckpoints = "../checkpoint/testdata"

// recoverFrom rebuilds the adapter of a real checkpoint to which something has happened.
func recoverFrom(name string, o recovery.Options, happened func(t *testing.T, dir string)) func(t *testing.T) error {
	return func(t *testing.T) error {
		dir := filepath.Join(t.TempDir(), "checkpoint-2")
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(realCheckpoints, name, "checkpoint-2"))); err != nil {
			t.Fatal(err)
		}
		happened(t, dir)
		_, err := recovery.Adapter(t.Context(), dir, filepath.Join(t.TempDir(), "out"), o, recovery.Hooks{})
		return err
	}
}

func nothing(*testing.T, string) {}

func removed(name string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func written(name, text string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func init() {
	const optim1 = "global_step2/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"
	cases = append(cases, []struct {
		code string
		err  func(t *testing.T) error
	}{
		{"checkpoint-alpha-differs", recoverFrom("stage1-world2-bf16", recovery.Options{Alpha: "77"}, nothing)},
		{"checkpoint-alpha-missing", recoverFrom("plain-sharded", recovery.Options{}, nothing)},
		{"checkpoint-config-missing", recoverFrom("stage3-world3-fp16-tokens", recovery.Options{}, removed("adapter_config.json"))},
		{"checkpoint-damaged", recoverFrom("fsdp1-sharded", recovery.Options{}, written("pytorch_model_fsdp_0/__1_0.distcp", ""))},
		{"checkpoint-damaged", recoverFrom("stage3-world2-bf16", recovery.Options{}, written(optim1, "x"))},
		{"checkpoint-damaged", recoverFrom("plain-compiled", recovery.Options{}, written("model.safetensors", "x"))},
		{"checkpoint-damaged", given(&checkpoint.ReadError{File: "f", Tensor: "t", Err: os.ErrInvalid})},
		{"checkpoint-latest", recoverFrom("stage1-world2-bf16", recovery.Options{}, written("latest", "global_step9"))},
		{"checkpoint-mixed", recoverFrom("stage1-world2-bf16", recovery.Options{}, func(t *testing.T, dir string) {
			text, err := os.ReadFile(filepath.Join(realCheckpoints, "stage2-world2-aligned/checkpoint-2", optim1))
			if err != nil {
				t.Fatal(err)
			}
			written(optim1, string(text))(t, dir)
		})},
		{"checkpoint-no-tensors", recoverFrom("fsdp1-full-adapter", recovery.Options{}, nothing)},
		{"checkpoint-not-found", recoverFrom("fsdp1-full", recovery.Options{}, removed("pytorch_model_fsdp.bin"))},
		{"checkpoint-ranks-missing", recoverFrom("stage3-world2-bf16", recovery.Options{}, removed(optim1))},
		{"output-exists", given(&recovery.OutputError{Out: "/proc/self/status", Err: lazymerge.ErrExists})},
		{"output-parent", given(&recovery.OutputError{Out: "/nosuch/out", Err: os.ErrNotExist})},
		{"checkpoint-several-names", recoverFrom("plain-two-adapters", recovery.Options{}, nothing)},
		{"checkpoint-several-names", recoverFrom("plain-two-adapters", recovery.Options{Adapter: "other"}, nothing)},
		{"checkpoint-unfit", recoverFrom("stage1-world2-bf16", recovery.Options{}, written("adapter_config.json", `{"peft_type":"LORA","r":8,"lora_alpha":16}`))},
		{"checkpoint-unsupported", recoverFrom("fsdp1-local", recovery.Options{}, nothing)},
	}...)
}

// TestHealthyCheckpoint is the twin of the cases: nothing is found.
func TestHealthyCheckpoint(t *testing.T) {
	for name, o := range map[string]recovery.Options{
		"stage1-world2-bf16": {}, "stage3-world2-bf16": {}, "stage3-world3-fp16-tokens": {}, "fsdp1-sharded": {}, "fsdp1-full": {},
		"plain-two-adapters": {Adapter: "policy"}, "plain-sharded": {Alpha: "6"},
	} {
		if err := recoverFrom(name, o, nothing)(t); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
