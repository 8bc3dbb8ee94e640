package single

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/safetensors"
)

// metadataName is where diffusers keeps the LoraConfig of each component: one JSON
// object whose members are called COMPONENT.field (diffusers loaders/lora_base.py,
// LORA_ADAPTER_METADATA_KEY @0.42.1).
const metadataName = "lora_adapter_metadata"

// metadata is the settings of a file's components.
type metadata struct {
	path       string
	components map[string]map[string]json.RawMessage
}

// harmless are the fields of a LoraConfig (peft @0.21.2) that are used, are told by the
// keys, or matter to training alone. Any other that is set could change the merge.
var harmless = []string{
	"r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias", "init_lora_weights", "bias", "peft_type",
	"auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "exclude_modules", "fan_in_fan_out", "inference_mode", "layers_pattern",
	"layers_to_transform", "lora_dropout", "megatron_core", "modules_to_save", "monteclora_config", "peft_version", "qalora_group_size",
	"revision", "runtime_config", "target_modules", "task_type", "trainable_token_indices", "velora_config",
	"corda_config", "eva_config", "loftq_config", "lora_ga_config", // of ways to begin, see plainStarts
}

// plainStarts are the values of init_lora_weights that leave the base as it is.
var plainStarts = []string{"", "null", "true", "false", `"gaussian"`, `"orthogonal"`, `"eva"`}

// notes are the strings that a file carries beside its tensors: torch files have none.
func notes(f peft.Weights) map[string]string {
	if s, ok := f.(*safetensors.File); ok {
		return s.Header().Metadata
	}
	return nil
}

// baseName is where sd-scripts keeps what kind of base the adapter was trained on.
const baseName = "ss_base_model_version"

// BaseHint is what the header of an adapter's file names as its base, "" for nothing.
func BaseHint(path string) string {
	f, err := safetensors.Open(path)
	if err != nil {
		return "" // a torch file has no header, and what is wrong with a file is said elsewhere
	}
	defer func() { _ = f.Close() }()
	return notes(f)[baseName]
}

func readMetadata(f peft.Weights) (*metadata, error) {
	m := &metadata{path: f.Path(), components: make(map[string]map[string]json.RawMessage)}
	text, ok := notes(f)[metadataName]
	if !ok {
		return m, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return nil, &MetadataError{File: f.Path(), Reason: "it is not a JSON object", Err: err}
	}
	for name, value := range members {
		dot := strings.LastIndexByte(name, '.')
		component, field := name[:max(dot, 0)], name[dot+1:]
		if m.components[component] == nil {
			m.components[component] = make(map[string]json.RawMessage)
		}
		m.components[component][field] = value
	}
	for component, fields := range m.components {
		if err := (settings{m, component, fields}).check(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// check refuses settings under which the tensors mean something else.
func (s settings) check() error {
	if t := string(s.fields["peft_type"]); t != "" && t != `"LORA"` && t != "null" {
		return s.fail("peft_type", "settings of "+t+" are not read, only those of LoRA")
	}
	for _, field := range slices.Sorted(maps.Keys(s.fields)) {
		if !slices.Contains(harmless, field) && truthy(s.fields[field]) {
			return s.fail(field, "this setting is not supported")
		}
	}
	if start := string(s.fields["init_lora_weights"]); !slices.Contains(plainStarts, start) {
		return s.fail("init_lora_weights", start+" changes the base before training")
	}
	return nil
}

// truthy is Python's bool() of a JSON value, near enough for a setting.
func truthy(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "false", "0", `""`, "[]", "{}":
		return false
	}
	return true
}

// settings are those of one component.
type settings struct {
	m      *metadata
	part   string
	fields map[string]json.RawMessage
}

func (m *metadata) of(part string) (settings, bool) {
	fields, ok := m.components[part]
	if _, ranked := fields["r"]; !ranked {
		ok = false
	}
	return settings{m, part, fields}, ok
}

// scaling is what a component's settings say of a module.
type scaling struct {
	scale float64
	rank  int64
	field string // that gave the rank
}

func (s settings) scaling(module string, rank int64) (scaling, error) {
	out := scaling{field: "r"}
	r, err := s.number("r", float64(rank))
	if err != nil {
		return out, err
	}
	alpha, err := s.number("lora_alpha", r)
	if err != nil {
		return out, err
	}
	if v, key, err := s.pattern("rank_pattern", module); err != nil {
		return out, err
	} else if key != "" {
		r, out.field = v, key
	}
	if v, key, err := s.pattern("alpha_pattern", module); err != nil {
		return out, err
	} else if key != "" {
		alpha = v
	}
	out.rank = int64(r)
	if out.scale = alpha / r; truthy(s.fields["use_rslora"]) {
		out.scale = alpha / math.Sqrt(r)
	}
	if r <= 0 || math.IsInf(out.scale, 0) || math.IsNaN(out.scale) {
		return out, s.fail("r", "a rank is positive")
	}
	return out, nil
}

func (s settings) number(field string, otherwise float64) (float64, error) {
	raw, ok := s.fields[field]
	if !ok || string(raw) == "null" {
		return otherwise, nil
	}
	var v float64
	if err := json.Unmarshal(raw, &v); err != nil {
		return 0, s.fail(field, "it is not a number")
	}
	return v, nil
}

// pattern finds the first pattern, in the order of the file, that matches the end of
// the module's name (peft utils/other.py, get_pattern_key).
func (s settings) pattern(field, module string) (value float64, key string, err error) {
	raw, ok := s.fields[field]
	if !ok || !truthy(raw) {
		return 0, "", nil
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return 0, "", s.fail(field, "it is not an object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return 0, "", s.fail(field, "it is not an object")
		}
		name, _ := t.(string)
		if err := d.Decode(&value); err != nil {
			return 0, "", s.fail(field, "its values are not numbers")
		}
		re, err := regexp.Compile(`^(?:.*\.)?(?:` + name + `)$`)
		if err != nil {
			return 0, "", s.fail(field, "the pattern "+name+" cannot be read")
		}
		if re.MatchString(module) {
			return value, field + " " + name, nil
		}
	}
	return 0, "", nil
}

func (s settings) fail(field, reason string) error {
	return &MetadataError{File: s.m.path, Field: s.part + "." + field, Reason: reason}
}
