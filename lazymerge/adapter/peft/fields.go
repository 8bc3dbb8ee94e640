package peft

import "encoding/json"

// use says what becomes of a config field.
type use uint8

const (
	used    use = iota // read by config.go
	ignored            // does not change a merge; reason says why
	refused            // refused when set; reason says what it means
)

// fieldRule is one field of a config class.
type fieldRule struct {
	name   string
	use    use
	reason string
	never  bool                       // refused: it cannot be merged by any version
	set    func(json.RawMessage) bool // refused: tells a set value; truthy when nil
}

const training = "concerns training only"

// present: a sub-config given as {} means its defaults.
func present(raw json.RawMessage) bool { return string(raw) != "null" && string(raw) != "false" }

// loraFields is the table of PEFT's LoraConfig, sorted by name; testdata/
// lora_fields.txt is the list of PEFT 0.21.2.
var loraFields = []fieldRule{
	{name: "alora_invocation_tokens", use: refused, never: true, reason: "an activated LoRA starts to act at certain tokens, so it has no merged weights"},
	{name: "alpha_pattern", use: used},
	{name: "arrow_config", use: refused, set: present, never: true, reason: "Arrow chooses among adapters for every token, so it has no merged weights"},
	{name: "auto_mapping", use: used},
	{name: "base_model_name_or_path", use: used},
	{name: "bias", use: used},
	{name: "corda_config", use: ignored, reason: "init_lora_weights decides"},
	{name: "ensure_weight_tying", use: used},
	{name: "eva_config", use: ignored, reason: "EVA initialises A and B only"},
	{name: "exclude_modules", use: ignored, reason: "the keys name the modules that have adapters"},
	{name: "fan_in_fan_out", use: ignored, reason: "PEFT corrects it from the class of the layer"},
	{name: "inference_mode", use: ignored, reason: training},
	{name: "init_lora_weights", use: used},
	{name: "kasa_config", use: refused, set: present, reason: "KaSA truncates the base when it is loaded, which this version does not do"},
	{name: "layer_replication", use: used},
	{name: "layers_pattern", use: ignored, reason: "the keys name the modules that have adapters"},
	{name: "layers_to_transform", use: ignored, reason: "the keys name the modules that have adapters"},
	{name: "loftq_config", use: ignored, reason: "init_lora_weights decides"},
	{name: "lora_alpha", use: used},
	{name: "lora_bias", use: used},
	{name: "lora_dropout", use: ignored, reason: training},
	{name: "lora_ga_config", use: ignored, reason: "init_lora_weights decides"},
	{name: "megatron_config", use: refused, set: present, reason: "layers of Megatron are split across devices, which this version does not read"},
	{name: "megatron_core", use: ignored, reason: "names a Python package; megatron_config decides"},
	{name: "modules_to_save", use: used},
	{name: "monteclora_config", use: ignored, reason: "its sampler acts in training; the merge is plain LoRA"},
	{name: "peft_type", use: used},
	{name: "peft_version", use: used},
	{name: "qalora_group_size", use: ignored, reason: "use_qalora decides"},
	{name: "r", use: used},
	{name: "rank_pattern", use: used},
	{name: "revision", use: used},
	{name: "runtime_config", use: ignored, reason: "PEFT does not read it from a file"},
	{name: "target_modules", use: used},
	{name: "target_parameters", use: refused, reason: "adapters of parameters that are no layers (experts) are not merged by this version"},
	{name: "task_type", use: used},
	{name: "trainable_token_indices", use: used},
	{name: "use_bdlora", use: refused, set: present, reason: "block-diagonal factors are not merged by this version"},
	{name: "use_dora", use: used},
	{name: "use_qalora", use: refused, never: true, reason: "it pools the inputs of a quantised base, which PEFT does not merge either"},
	{name: "use_rslora", use: used},
	{name: "velora_config", use: ignored, reason: "it compresses activations in training; the merge is plain LoRA"},
}

// foreignFields are fields that other trainers and other versions of PEFT write and
// that do not change a merge.
var foreignFields = []fieldRule{
	{name: "lora_B_layout", use: ignored, reason: "unsloth: order of experts in B; adapters of experts are refused"},
	{name: "lora_dtype", use: ignored, reason: "ms-swift: the dtype of A and B, which the file tells"},
	{name: "lorap_emb_lr", use: ignored, reason: training},
	{name: "lorap_lr_ratio", use: ignored, reason: training},
	{name: "merge_weights", use: ignored, reason: "PEFT before 0.3: whether evaluation merges"},
	{name: "transformers_version", use: ignored, reason: "informative"},
	{name: "unsloth_version", use: ignored, reason: "informative"},
}

func findField(tables [][]fieldRule, name string) (fieldRule, bool) {
	for _, table := range tables {
		for _, f := range table {
			if f.name == name {
				return f, true
			}
		}
	}
	return fieldRule{}, false
}

// checkFields refuses what is set and not understood.
func checkFields(path string, obj object, table []fieldRule) error {
	tables := [][]fieldRule{table, foreignFields}
	for _, m := range obj {
		f, known := findField(tables, m.key)
		switch {
		case !known && truthy(m.raw):
			return &FieldError{Path: path, Field: m.key, Value: shorten(m.raw), Reason: "no field of this type that is known"}
		case known && f.use == refused && f.isSet(m.raw):
			return &UnsupportedError{Path: path, Type: "LORA", Field: f.name, Value: shorten(m.raw), Reason: f.reason, Never: f.never}
		}
	}
	return nil
}

func (f fieldRule) isSet(raw json.RawMessage) bool {
	if f.set != nil {
		return f.set(raw)
	}
	return truthy(raw)
}
