package recovery

import (
	"fmt"
	"strings"
)

// NoAdapterError says that a checkpoint has no tensors of an adapter.
type NoAdapterError struct {
	Path   string
	Type   string // PEFT's, that was looked for
	Reason string
	Empty  bool // the checkpoint holds no values at all
}

func (e *NoAdapterError) Error() string {
	return fmt.Sprintf("%q holds no %s adapter: %s", e.Path, e.Type, e.Reason)
}

// ChoiceError says that a checkpoint has several adapters, or not the one asked for.
type ChoiceError struct {
	Path  string
	Asked string // "" when none was
	Names []string
}

func (e *ChoiceError) Error() string {
	names := strings.Join(e.Names, ", ")
	if e.Asked != "" {
		return fmt.Sprintf("%q holds no adapter called %q; it holds %s", e.Path, e.Asked, names)
	}
	return fmt.Sprintf("%q holds several adapters: %s", e.Path, names)
}

// ConfigError says that there is no adapter_config.json and none can be made.
type ConfigError struct {
	Path   string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("no adapter_config.json lies near %q: %s", e.Path, e.Reason)
}

// AlphaError says that an adapter_config.json could be rebuilt but for lora_alpha, which
// is in no tensor.
type AlphaError struct {
	Path string
	Rank int64
}

func (e *AlphaError) Error() string {
	return fmt.Sprintf("no adapter_config.json lies near %q, and lora_alpha cannot be told from the tensors (the rank is %d)", e.Path, e.Rank)
}

// UnfitError says that what was rebuilt is no sound adapter: its config does not fit its
// tensors, or training broke them.
type UnfitError struct {
	Checkpoint string
	Config     string // "" when rebuilt
	Dir, Out   string // where it stood when it was looked at, and where it was to be
	Err        error
}

func (e *UnfitError) Error() string {
	return fmt.Sprintf("what %q holds is no sound adapter: %s", e.Checkpoint, strings.ReplaceAll(e.Err.Error(), e.Dir, e.Out))
}

func (e *UnfitError) Unwrap() error { return e.Err }

// AlphaConflictError says that the lora_alpha asked for is not the config's.
type AlphaConflictError struct {
	Checkpoint, Config string
	Has                string // as the config has it; "" when its adapter has none
	Asked              string
}

func (e *AlphaConflictError) Error() string {
	if e.Has == "" {
		return fmt.Sprintf("lora_alpha %s was asked for, and %q has none", e.Asked, e.Config)
	}
	return fmt.Sprintf("lora_alpha %s was asked for, and %q has %s", e.Asked, e.Config, e.Has)
}

// OutputError says that the output cannot be made, whatever the checkpoint holds.
type OutputError struct {
	Out string
	Err error
}

func (e *OutputError) Error() string {
	if text := e.Err.Error(); strings.Contains(text, e.Out) {
		return text
	}
	return fmt.Sprintf("%q: %s", e.Out, e.Err)
}

func (e *OutputError) Unwrap() error { return e.Err }

// CheckError is what Hooks.Check said.
type CheckError struct {
	Dir, Out string // where the adapter stood when it was looked at, and where it was to be
	Err      error
}

func (e *CheckError) Error() string { return strings.ReplaceAll(e.Err.Error(), e.Dir, e.Out) }

func (e *CheckError) Unwrap() error { return e.Err }
