package peft

import (
	"encoding/json"
	"math"
	"strings"
)

const configName = "adapter_config.json"

// Config is an adapter_config.json: what all types share, and LoRA's settings.
type Config struct {
	Path     string
	PeftType string
	TaskType string
	Base     string // base_model_name_or_path
	Revision string // of the base
	// AutoClass is the base's class, of auto_mapping.
	AutoClass string
	// Version is the PEFT that wrote the file, "" before 0.18.
	Version string
	LoRA    LoRAConfig
}

// LoRAConfig is what a merge of peft_type LORA depends on.
type LoRAConfig struct {
	R            int64
	Alpha        float64
	RankPattern  []RankPattern  // in the file's order
	AlphaPattern []AlphaPattern // in the file's order
	RSLoRA       bool
	DoRA         bool
	LoRABias     bool
	Bias         string // "none", "all" or "lora_only"
	MiCA         bool
	// TargetModules are names, or TargetRegexp is set; with neither PEFT chooses by
	// model type.
	TargetModules []string
	TargetRegexp  string
	ModulesToSave []string
	TokenIndices  []TokenIndices
	Replication   [][2]int
	TieWeights    bool
}

// RankPattern gives the modules that Pattern matches a rank of their own.
type RankPattern struct {
	Pattern string
	Rank    int64
}

// AlphaPattern gives the modules that Pattern matches an alpha of their own.
type AlphaPattern struct {
	Pattern string
	Alpha   float64
}

// TokenIndices says which rows of an embedding were trained.
type TokenIndices struct {
	Module  string // name or end of a name; "" for the input embedding
	Indices []int64
}

// ReadConfig reads and checks an adapter_config.json. Errors: *fs.PathError,
// *ConfigError, *UnsupportedError, *FieldError.
func ReadConfig(path string) (*Config, error) {
	obj, err := readObject(path)
	if err != nil {
		return nil, err
	}
	return newConfig(path, obj)
}

func newConfig(path string, obj object) (*Config, error) {
	v := &values{path: path, obj: obj}
	c := &Config{Path: path, PeftType: v.text("peft_type")}
	if v.err != nil {
		return nil, v.err
	}
	if c.PeftType == "" {
		return nil, &ConfigError{Path: path, Reason: "peft_type is missing"}
	}
	if err := checkType(path, c.PeftType); err != nil {
		return nil, err
	}
	if err := checkFields(path, obj, loraFields); err != nil {
		return nil, err
	}
	c.readShared(v)
	c.LoRA.read(v)
	if v.err != nil {
		return nil, v.err
	}
	return c, nil
}

func checkType(path, name string) error {
	t, ok := findType(name)
	switch {
	case !ok:
		return &UnsupportedError{Path: path, Type: name, Reason: "PEFT has no such type"}
	case t.parse == nil:
		return &UnsupportedError{Path: path, Type: name, Reason: t.reason, Never: t.never}
	}
	return nil
}

func (c *Config) readShared(v *values) {
	c.TaskType = v.text("task_type")
	c.Base = v.text("base_model_name_or_path")
	c.Revision = v.text("revision")
	c.Version = v.text("peft_version")
	for _, m := range v.object("auto_mapping") {
		if m.key == "base_model_class" {
			c.AutoClass, _ = decodeString(m.raw)
		}
	}
}

func (l *LoRAConfig) read(v *values) {
	l.R, l.Alpha = 8, 8
	if raw, ok := v.obj.get("r"); ok {
		l.R = v.rank("r", raw)
	}
	if raw, ok := v.obj.get("lora_alpha"); ok {
		l.Alpha = v.number("lora_alpha", raw)
	}
	l.readPatterns(v)
	l.RSLoRA = v.boolean("use_rslora")
	l.DoRA = v.boolean("use_dora")
	l.LoRABias = v.boolean("lora_bias")
	l.TieWeights = v.boolean("ensure_weight_tying")
	l.readBias(v)
	l.readInit(v)
	l.TargetModules, l.TargetRegexp = v.namesOrText("target_modules")
	l.ModulesToSave = v.names("modules_to_save")
	l.readTokens(v)
	l.readReplication(v)
}

func (l *LoRAConfig) readPatterns(v *values) {
	for _, m := range v.object("rank_pattern") {
		l.RankPattern = append(l.RankPattern, RankPattern{m.key, v.rank("rank_pattern", m.raw)})
	}
	for _, m := range v.object("alpha_pattern") {
		l.AlphaPattern = append(l.AlphaPattern, AlphaPattern{m.key, v.number("alpha_pattern", m.raw)})
	}
}

func (l *LoRAConfig) readBias(v *values) {
	l.Bias = v.text("bias")
	switch l.Bias {
	case "":
		l.Bias = "none"
	case "none", "all", "lora_only":
	default:
		v.fail("bias", v.field("bias"), `not one of "none", "all" and "lora_only"`)
	}
}

// baseChanging are the initialisations that change the base when the adapter is
// loaded, by the lower-case beginning of their names.
var baseChanging = []struct {
	prefix, reason string
	never          bool
}{
	{"pissa_niter", "loading takes an unseeded random decomposition off the base, so even PEFT does not get the trained model back", true},
	{"pissa", "loading takes a decomposition off the base first, which this version does not do", false},
	{"corda", "training took a decomposition off the base that depends on its data", true},
	{"olora", "loading takes a decomposition off the base first, which this version does not do", false},
	{"loftq", "training changed the base to make up for its quantisation", true},
	{"lora_ga", "training changed the base by a decomposition of its gradients", true},
}

func (l *LoRAConfig) readInit(v *values) {
	raw := v.field("init_lora_weights")
	switch string(raw) {
	case "", "true", "false":
		return
	}
	name, ok := decodeString(raw)
	if !ok {
		v.fail("init_lora_weights", raw, "neither true, false nor a name")
		return
	}
	lower := strings.ToLower(name)
	for _, b := range baseChanging {
		if strings.HasPrefix(lower, b.prefix) && v.err == nil {
			v.err = &UnsupportedError{Path: v.path, Type: "LORA", Field: "init_lora_weights", Value: name, Reason: b.reason, Never: b.never}
			return
		}
	}
	switch lower {
	case "", "gaussian", "eva", "orthogonal":
	case "mica":
		l.MiCA = name == "mica" // the exact spelling chooses PEFT's merge
	default:
		v.fail("init_lora_weights", raw, "PEFT has no such initialisation")
	}
}

func (l *LoRAConfig) readTokens(v *values) {
	const name = "trainable_token_indices"
	raw := v.field(name)
	if raw == nil {
		return
	}
	if raw[0] == '[' {
		l.TokenIndices = []TokenIndices{{Indices: v.indices(name, raw)}}
		return
	}
	for _, m := range v.object(name) {
		l.TokenIndices = append(l.TokenIndices, TokenIndices{m.key, v.indices(name, m.raw)})
	}
}

func (v *values) indices(name string, raw json.RawMessage) []int64 {
	var items []json.RawMessage
	if !decodeList(raw, &items) {
		v.fail(name, raw, "not a list of token numbers")
		return nil
	}
	list := make([]int64, 0, len(items))
	for _, item := range items {
		n, ok := decodeInt(item)
		if !ok || n < 0 {
			v.fail(name, item, "not a token number")
			return nil
		}
		list = append(list, n)
	}
	return list
}

func (l *LoRAConfig) readReplication(v *values) {
	const name = "layer_replication"
	raw := v.field(name)
	if raw == nil {
		return
	}
	var ranges []json.RawMessage
	if !decodeList(raw, &ranges) {
		v.fail(name, raw, "not a list of ranges")
		return
	}
	for _, r := range ranges {
		var ends []int64
		if !decodeList(r, &ends) || len(ends) != 2 || ends[0] < 0 || ends[1] <= ends[0] || ends[1] > math.MaxInt32 {
			v.fail(name, r, "not a range of layers")
			return
		}
		l.Replication = append(l.Replication, [2]int{int(ends[0]), int(ends[1])})
	}
}

// savedModules are the names of modules that were trained as a whole: those of the
// config, and the heads that PEFT's classes for a task add on loading.
func (c *Config) savedModules() []string {
	saved := c.LoRA.ModulesToSave
	switch c.TaskType {
	case "SEQ_CLS", "TOKEN_CLS":
		return append(saved[:len(saved):len(saved)], "classifier", "score")
	case "QUESTION_ANS":
		return append(saved[:len(saved):len(saved)], "qa_outputs")
	}
	return saved
}
