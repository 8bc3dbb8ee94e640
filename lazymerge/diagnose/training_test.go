package diagnose

import (
	"path/filepath"
	"strings"
	"testing"

	"lorafs/lazymerge/training"
)

const (
	gathered = `{"zero_optimization":{"stage":3,"stage3_gather_16bit_weights_on_model_save":true},"bf16":{"enabled":"auto"}}`
	inlineDS = "distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero3_init_flag: true\n  zero3_save_16bit_model: true\n  zero_stage: 3\n"
	fileDS   = "distributed_type: DEEPSPEED\ndeepspeed_config:\n  deepspeed_config_file: ds.json\n  zero3_init_flag: true\n"
)

// trainingCases give, for every code of settings, a directory whose only finding has
// that code, and one that differs in the fault alone and has no finding.
var trainingCases = []struct {
	code           string
	faulty, health map[string]string
}{
	{"training-zero3-ungathered",
		map[string]string{"ds.json": `{"zero_optimization":{"stage":3}}`, "requirements.txt": "transformers==4.57.6\n"},
		map[string]string{"ds.json": `{"zero_optimization":{"stage":3}}`, "requirements.txt": "transformers==5.0.0\n"}},
	{"training-zero3-ungathered",
		map[string]string{"ds.json": `{"zero_optimization":{"stage":3}}`},
		map[string]string{"ds.json": gathered}},
	{"training-zero3-ungathered",
		map[string]string{"default_config.yaml": "distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero_stage: 3\n  zero3_save_16bit_model: false\n"},
		map[string]string{"default_config.yaml": inlineDS}},
	{"training-stage-text",
		map[string]string{"ds.json": `{"zero_optimization":{"stage":"3","stage3_gather_16bit_weights_on_model_save":true}}`},
		map[string]string{"ds.json": gathered}},
	{"training-setting-auto",
		map[string]string{"ds.json": `{"zero_optimization":{"stage":"auto","stage3_gather_16bit_weights_on_model_save":true}}`},
		map[string]string{"ds.json": gathered}},
	{"training-setting-auto",
		map[string]string{"ds.json": `{"zero_optimization":{"stage":3,"stage3_gather_16bit_weights_on_model_save":"auto"}}`},
		map[string]string{"ds.json": gathered}},
	{"training-settings-conflict",
		map[string]string{"accelerate.yaml": fileDS + "  zero_stage: 3\n", "ds.json": gathered},
		map[string]string{"accelerate.yaml": fileDS, "ds.json": gathered}},
	{"training-settings-conflict",
		map[string]string{"accelerate.yaml": "distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 2}\n", "ds.json": gathered},
		map[string]string{"accelerate.yaml": inlineDS, "ds.json": gathered}},
	{"training-setting-renamed",
		map[string]string{"ds.json": `{"zero_optimization":{"stage":3,"stage3_gather_fp16_weights_on_model_save":true}}`},
		map[string]string{"ds.json": gathered}},
	{"training-fsdp-sharded",
		map[string]string{"fsdp.yaml": "distributed_type: FSDP\nfsdp_config:\n  fsdp_version: 2\n  fsdp_state_dict_type: SHARDED_STATE_DICT\n"},
		map[string]string{"fsdp.yaml": "distributed_type: FSDP\nfsdp_config:\n  fsdp_version: 2\n  fsdp_state_dict_type: FULL_STATE_DICT\n"}},
	{"training-safetensors-old",
		map[string]string{"ds.json": gathered, "requirements.txt": "safetensors==0.4.3\n"},
		map[string]string{"ds.json": gathered, "requirements.txt": "safetensors==0.4.4\n"}},
	{"training-settings-unreadable",
		map[string]string{"ds_config.json": `{"zero_optimization":{"stage":3`},
		map[string]string{"ds_config.json": gathered}},
}

func TestRisks(t *testing.T) {
	for _, c := range trainingCases {
		dir := dirOf(t, c.faulty)
		risks, err := training.Lint(dir)
		if err != nil {
			t.Fatal(err)
		}
		found := Risks(risks)
		if len(found) != 1 || found[0].Code != c.code {
			t.Errorf("%s: %v gives %+v", c.code, c.faulty, found)
			continue
		}
		f := found[0]
		if f.Severity != Warning || f.Message == "" || f.Cause == "" || f.Fix == "" || filepath.Dir(f.File) != dir {
			t.Errorf("incomplete: %+v", f)
		}
		if p := placeholder.FindString(f.Cause + f.Fix); p != "" {
			t.Errorf("%s: %s was not filled", c.code, p)
		}
		if risks, err = training.Lint(dirOf(t, c.health)); err != nil || len(risks) > 0 {
			t.Errorf("%s: the healthy twin gives %+v, %v", c.code, risks, err)
		}
	}
}

// TestEveryRiskHasACode fails when training gains a kind that Risks does not know.
func TestEveryRiskHasACode(t *testing.T) {
	for k := training.Kind(0); k <= training.Unreadable; k++ {
		if riskCodes[k] == "" {
			t.Errorf("%v has no code", k)
		}
	}
	if name := (training.Unreadable + 1).String(); name != "Kind(8)" {
		t.Errorf("a kind %q stands behind the last that is tested", name)
	}
}

// TestRiskKey checks that the cure has the key that the file has.
func TestRiskKey(t *testing.T) {
	for setting, want := range map[string]string{
		"fsdp_config.state_dict_type":      "\tstate_dict_type: FULL",
		"fsdp_config.fsdp_state_dict_type": "\tfsdp_state_dict_type: FULL",
	} {
		found := Risks([]training.Risk{{Kind: training.Sharded, Setting: setting, Value: "SHARDED_STATE_DICT"}})
		if len(found) != 1 || !strings.Contains(found[0].Fix, want) {
			t.Errorf("%s: %+v", setting, found)
		}
	}
}
