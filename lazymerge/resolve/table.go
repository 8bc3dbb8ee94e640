package resolve

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// tables is searched rather than decoded whole: a base needs a few of its lines,
// and a mount has no time for the rest.
//
//go:embed tables.txt
var tables string

// Version names the transformers release that the tables were made from.
func Version() string {
	var v string
	decode("version", "-", &v)
	return v
}

// class is what the tables hold of a transformers model class.
type class struct {
	Prefix   string            `json:"p"` // base_model_prefix
	Type     string            `json:"m"` // model_type
	Roots    []string          `json:"r"` // first name components of its parameters; nil: not known
	Base     []string          `json:"b"` // the same of the base model within, when its own class differs
	Children []child           `json:"c"` // the models within
	Ties     map[string]string `json:"e"` // tied parameter to its source, when the config ties
	Conv1D   []string          `json:"v"` // last name components of its Conv1D modules
	Bare     map[string]Bare   `json:"x"` // modules with matrices of their own, by last name component
}

// child is a model within another one.
type child struct {
	Path, Class, Type, Config string // Config is the path of its config in the parent's
}

func (c *child) UnmarshalJSON(b []byte) error {
	var f [4]string
	err := json.Unmarshal(b, &f)
	c.Path, c.Class, c.Type, c.Config = f[0], f[1], f[2], f[3]
	return err
}

// modelType is what the tables hold of a model type.
type modelType struct {
	Tie     bool              `json:"tie"`   // default of tie_word_embeddings
	Tasks   map[string]string `json:"tasks"` // PEFT task type to class
	Classes []string          `json:"classes"`
}

func classOf(name string) *class {
	var c class
	if name == "" || !decode("class", name, &c) {
		return nil
	}
	return &c
}

func typeOf(name string) *modelType {
	var t modelType
	if name == "" || !decode("type", name, &t) {
		return nil
	}
	return &t
}

// rulesOf returns the rules registered for a class or model type, and the name of
// the entry that holds them: many entries are the same.
func rulesOf(key string) (string, []rule) {
	line, ok := entry("rules", key)
	if !ok {
		return "", nil
	}
	if strings.HasPrefix(line, `"`) {
		key = strings.Trim(line, `"`)
	}
	var r []rule
	decode("rules", key, &r)
	return key, r
}

// TaskClass is the class that transformers' auto model of the PEFT task type
// makes for the model type.
func TaskClass(modelType, taskType string) (string, bool) {
	t := typeOf(modelType)
	if t == nil {
		return "", false
	}
	c, ok := t.Tasks[taskType]
	return c, ok
}

func decode(kind, key string, v any) bool {
	line, ok := entry(kind, key)
	return ok && json.Unmarshal([]byte(line), v) == nil
}

func entry(kind, key string) (string, bool) {
	line, ok := lines()[kind+" "+key]
	return line, ok
}

// lines finds the lines by kind and key, undecoded.
var lines = sync.OnceValue(func() map[string]string { return split(tables) })

func split(text string) map[string]string {
	m := make(map[string]string, strings.Count(text, "\n"))
	for line := range strings.SplitSeq(text, "\n") {
		if key, value, ok := strings.Cut(line, "\t"); ok {
			m[key] = value
		}
	}
	return m
}

// TaskHas tells whether the class that a model type has for a PEFT task type has a
// parameter or module of the name at its top.
func TaskHas(modelType, taskType, name string) bool {
	class, ok := TaskClass(modelType, taskType)
	if !ok {
		return false
	}
	info := classOf(class)
	return info != nil && slices.Contains(info.Roots, name)
}

// Known tells whether a model type is in the tables.
func Known(modelType string) bool { return typeOf(modelType) != nil }
