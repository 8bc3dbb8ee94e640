package peft

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
)

const configName = "adapter_config.json"

// Config is an adapter_config.json: what the types share, and what the type alone
// says.
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

	// What follows is "" or nil where the type has no such field.

	Bias string // "none", "all" or "lora_only" (of other types "…_only")
	// TargetModules are names, or TargetRegexp is set; with neither PEFT chooses by
	// model type.
	TargetModules []string
	TargetRegexp  string
	targets       *targets
	ModulesToSave []string
	TokenIndices  []TokenIndices
	Replication   [][2]int
	TieWeights    bool
	Rank          int64 // of LORA: the largest of r and rank_pattern
	RSLoRA        bool

	own maker
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
	t, err := findMethod(path, c.PeftType)
	if err != nil {
		return nil, err
	}
	if err := t.checkFields(path, obj); err != nil {
		return nil, err
	}
	c.readShared(v)
	c.readUsual(v, t.method)
	c.own = t.read(v)
	if s, ok := c.own.(settler); ok {
		s.settle(c)
	}
	if v.err != nil {
		return nil, v.err
	}
	return c, nil
}

// settler is a maker whose fields mean something that types share.
type settler interface{ settle(c *Config) }

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

// readUsual reads the fields of which the type says that they are used.
func (c *Config) readUsual(v *values, m *method) {
	if m.uses("bias") {
		c.readBias(v)
	}
	if m.uses("target_modules") {
		c.TargetModules, c.TargetRegexp = v.namesOrText("target_modules")
		c.targets = c.readTargets(v, m)
	}
	if m.uses("modules_to_save") {
		c.ModulesToSave = v.names("modules_to_save")
	}
	if m.uses("trainable_token_indices") {
		c.readTokens(v)
	}
	if m.uses("layer_replication") {
		c.readReplication(v)
	}
	if m.uses("ensure_weight_tying") {
		c.TieWeights = v.boolean("ensure_weight_tying")
	}
}

// tiesSaved tells whether modules_to_save are trained with all that is tied to them.
// PEFT heeds ensure_weight_tying only for embeddings, by the last parts of their names
// (tuners/tuners_utils.py:1425 @0.21.2); a regexp must match one.
func (c *Config) tiesSaved() bool { return c.TieWeights && anyEmbedding(c.ModulesToSave) }

// tiesTargets tells the same of target_modules, which only count where no saved module
// does. Trainable tokens are tied whatever their module is called.
func (c *Config) tiesTargets() bool {
	if !c.TieWeights || c.tiesSaved() {
		return false
	}
	if c.TargetRegexp == "" {
		return anyEmbedding(c.TargetModules)
	}
	re, err := compileFull(c.TargetRegexp)
	return err == nil && slices.ContainsFunc(embeddings, func(name string) bool {
		ok, err := re.match(name)
		return ok && err == nil
	})
}

func anyEmbedding(modules []string) bool {
	return slices.ContainsFunc(modules, func(m string) bool { return slices.Contains(embeddings, component(m)) })
}

func (c *Config) readBias(v *values) {
	c.Bias = v.text("bias")
	switch {
	case c.Bias == "":
		c.Bias = "none"
	case c.Bias == "none", c.Bias == "all", strings.HasSuffix(c.Bias, "_only"):
	default:
		v.fail("bias", v.field("bias"), `not one of "none", "all" and "…_only"`)
	}
}

func (c *Config) readTokens(v *values) {
	const name = "trainable_token_indices"
	raw := v.field(name)
	if raw == nil {
		return
	}
	if raw[0] == '[' {
		c.TokenIndices = []TokenIndices{{Indices: v.indices(name, raw)}}
		return
	}
	for _, m := range v.object(name) {
		c.TokenIndices = append(c.TokenIndices, TokenIndices{m.key, v.indices(name, m.raw)})
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

func (c *Config) readReplication(v *values) {
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
		c.Replication = append(c.Replication, [2]int{int(ends[0]), int(ends[1])})
	}
}

// savedModules are the names of modules that were trained as a whole: those of the
// config, and the heads that PEFT's classes for a task add on loading.
func (c *Config) savedModules() []string {
	saved := c.ModulesToSave
	switch c.TaskType {
	case "SEQ_CLS", "TOKEN_CLS":
		return append(saved[:len(saved):len(saved)], "classifier", "score")
	case "QUESTION_ANS":
		return append(saved[:len(saved):len(saved)], "qa_outputs")
	}
	return saved
}
