package peft

import (
	"fmt"
	"strings"
)

// ConfigError says that an adapter_config.json cannot be read as one.
type ConfigError struct {
	Path   string
	Reason string
	Err    error // what the JSON reader said, when it was that
}

func (e *ConfigError) Error() string {
	s := fmt.Sprintf("adapter config %q: %s", e.Path, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *ConfigError) Unwrap() error { return e.Err }

// FieldError says that a field of the config has a value that cannot be honoured.
type FieldError struct {
	Path   string
	Field  string // "rank_pattern"
	Value  string // as in the file, shortened
	Reason string
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("adapter config %q: %s is %s: %s", e.Path, e.Field, e.Value, e.Reason)
}

// UnsupportedError says that the adapter is of a kind that is not merged.
type UnsupportedError struct {
	Path   string
	Type   string // PEFT type; "" when a field of a supported type is the reason
	Field  string // config field, or file name, that tells
	Value  string
	Reason string
	Never  bool // no version can merge it: the effect depends on the input, or the base is lost
}

func (e *UnsupportedError) Error() string {
	subject := e.Type
	if e.Field != "" {
		subject = e.Field
		if e.Value != "" {
			subject += " = " + e.Value
		}
	}
	return fmt.Sprintf("adapter %q: %s is not supported: %s", e.Path, subject, e.Reason)
}

// NoWeightsError says that a directory has a config but no weights.
type NoWeightsError struct {
	Dir string
}

func (e *NoWeightsError) Error() string {
	return fmt.Sprintf("adapter %q has no %s", e.Dir, weightsName)
}

// UnknownTensorsError lists the tensors of the file that mean nothing to the
// adapter's type.
type UnknownTensorsError struct {
	File    string
	Tensors []string
}

func (e *UnknownTensorsError) Error() string {
	return fmt.Sprintf("%q holds %d unknown tensors: %s", e.File, len(e.Tensors), shortList(e.Tensors))
}

// MissingTensorError says that a tensor lacks its counterpart.
type MissingTensorError struct {
	File   string
	Module string   // as in the file, without prefixes
	Want   string   // what is missing: "lora_B"
	Have   []string // keys that need it
	Lone   []string // keys of other modules that lack a counterpart as well
	Like   string   // the same tensor of a module that is the same but for its numbers; "" when that is not why it is missed
}

func (e *MissingTensorError) Error() string {
	s := fmt.Sprintf("%q has no %s", e.File, strings.TrimPrefix(e.Module+"."+e.Want, "."))
	if e.Like != "" {
		return s + fmt.Sprintf(", only %s; the like of it in another place has %s", strings.Join(e.Have, ", "), e.Like)
	}
	if len(e.Have) > 0 {
		s += ", which " + strings.Join(e.Have, ", ") + " needs"
	}
	if len(e.Lone) > 0 {
		const most = 5
		s += fmt.Sprintf("; %d more without a counterpart: %s", len(e.Lone), strings.Join(e.Lone[:min(most, len(e.Lone))], ", "))
	}
	return s
}

// DuplicateTensorError says that two tensors mean the same thing but differ.
type DuplicateTensorError struct {
	File    string
	Tensors [2]string
}

func (e *DuplicateTensorError) Error() string {
	return fmt.Sprintf("%q: %q and %q mean the same parameter but differ", e.File, e.Tensors[0], e.Tensors[1])
}

// EmptyError says that the weights file holds no values: no tensor at all, or
// tensors without elements, as a sharded training run writes when the shards were
// not gathered.
type EmptyError struct {
	File    string
	Size    int64
	Tensors []string // the tensors without elements; nil when there are no tensors
	Total   int      // tensors in the file
}

func (e *EmptyError) Error() string {
	if e.Total == 0 {
		return fmt.Sprintf("%q (%d bytes) holds no tensors", e.File, e.Size)
	}
	return fmt.Sprintf("%q (%d bytes): %d of %d tensors have no elements: %s",
		e.File, e.Size, len(e.Tensors), e.Total, shortList(e.Tensors))
}

// FlatError says that matrices of an adapter have one dimension or none, as the part of
// a parameter that one process holds in sharded training.
type FlatError struct {
	File    string
	Tensors []string
	Shape   []int64 // of the first
	Total   int     // tensors in the file
}

func (e *FlatError) Error() string {
	return fmt.Sprintf("%q: %d of %d tensors are no matrices, the first of shape %v: %s",
		e.File, len(e.Tensors), e.Total, e.Shape, shortList(e.Tensors))
}

// WholeModelError says that the weights are those of a whole model, with no tensor of
// an adapter among them.
type WholeModelError struct {
	File    string
	Tensors []string
}

func (e *WholeModelError) Error() string {
	return fmt.Sprintf("%q holds no tensor of an adapter, but %d parameters of a model: %s", e.File, len(e.Tensors), shortList(e.Tensors))
}

// NonFiniteError says that a tensor holds NaN or infinite values.
type NonFiniteError struct {
	File   string
	Tensor string
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("%q: %q holds NaN or infinite values", e.File, e.Tensor)
}

// RankError says that the rank in the config is not that of the tensors.
type RankError struct {
	File   string
	Tensor string
	Module string
	Field  string // "r", or the pattern of rank_pattern that gave Config
	Config int64
	Got    int64 // a dimension of Tensor
	Shape  []int64
}

func (e *RankError) Error() string {
	return fmt.Sprintf("%q: %q %v has rank %d, but the config says %d (%s)", e.File, e.Tensor, e.Shape, e.Got, e.Config, e.Field)
}

// ModuleError says that the tensors of a module make no edit of any base: their shapes
// contradict each other, or one is of a dtype that is not merged.
type ModuleError struct {
	File   string
	Module string
	Err    error // *transform.ShapeError or *transform.DTypeError
}

func (e *ModuleError) Error() string {
	return fmt.Sprintf("%q: module %s: %v", e.File, e.Module, e.Err)
}

func (e *ModuleError) Unwrap() error { return e.Err }

// shortList joins names, the first few in full.
func shortList(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func (p *parser) fieldError(field string, err error) error {
	return &FieldError{Path: p.config.Path, Field: field, Value: "a pattern", Reason: "it cannot be used: " + err.Error()}
}
