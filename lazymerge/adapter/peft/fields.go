package peft

import (
	"encoding/json"
	"slices"
)

// use says what becomes of a config field.
type use uint8

const (
	used    use = iota // read
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

// baseFields are those of every config class of PEFT.
var baseFields = []fieldRule{
	{name: "auto_mapping", use: used},
	{name: "base_model_name_or_path", use: used},
	{name: "inference_mode", use: ignored, reason: training},
	{name: "peft_type", use: used},
	{name: "peft_version", use: used},
	{name: "revision", use: used},
	{name: "task_type", use: used},
}

const keysTell = "the keys name the modules that have adapters"

// usualFields are those that mean the same in every config class that has them; a type
// names the ones that it has.
var usualFields = []fieldRule{
	{name: "bias", use: used},
	{name: "ensure_weight_tying", use: used},
	{name: "exclude_modules", use: ignored, reason: keysTell},
	{name: "fan_in_fan_out", use: ignored, reason: "PEFT corrects it from the class of the layer"},
	{name: "init_weights", use: ignored, reason: "the file holds the values after training"},
	{name: "layer_replication", use: used},
	{name: "layers_pattern", use: ignored, reason: keysTell},
	{name: "layers_to_transform", use: ignored, reason: keysTell},
	{name: "module_dropout", use: ignored, reason: training},
	{name: "modules_to_save", use: used},
	{name: "rank_dropout", use: ignored, reason: training},
	{name: "target_modules", use: used},
	{name: "trainable_token_indices", use: used},
}

// foreignFields are fields that other trainers and other versions of PEFT write and
// that do not change a merge.
var foreignFields = []fieldRule{
	{name: "lora_dtype", use: ignored, reason: "ms-swift: the dtype of A and B, which the file tells"},
	{name: "lorap_emb_lr", use: ignored, reason: training},
	{name: "lorap_lr_ratio", use: ignored, reason: training},
	{name: "merge_weights", use: ignored, reason: "PEFT before 0.3: whether evaluation merges"},
	{name: "transformers_version", use: ignored, reason: "informative"},
	{name: "unsloth_version", use: ignored, reason: "informative"},
}

func find(table []fieldRule, name string) (fieldRule, bool) {
	for _, f := range table {
		if f.name == name {
			return f, true
		}
	}
	return fieldRule{}, false
}

// field is what becomes of a config field of the type.
func (m *method) field(name string) (fieldRule, bool) {
	if f, ok := find(m.fields, name); ok {
		return f, true
	}
	if slices.Contains(m.usual, name) {
		return find(usualFields, name)
	}
	for _, table := range [][]fieldRule{baseFields, m.past, foreignFields} {
		if f, ok := find(table, name); ok {
			return f, true
		}
	}
	return fieldRule{}, false
}

// uses tells whether a usual field is one of the type's.
func (m *method) uses(name string) bool { return slices.Contains(m.usual, name) }

// checkFields refuses what is set and not understood.
func (t typeRule) checkFields(path string, obj object) error {
	for _, m := range obj {
		f, known := t.field(m.key)
		switch {
		case !known && truthy(m.raw):
			return &FieldError{Path: path, Field: m.key, Value: shorten(m.raw), Reason: "no field of this type that is known"}
		case known && f.use == refused && f.isSet(m.raw):
			return &UnsupportedError{Path: path, Type: t.name, Field: f.name, Value: shorten(m.raw), Reason: f.reason, Never: f.never}
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
