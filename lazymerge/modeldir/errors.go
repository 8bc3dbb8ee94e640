package modeldir

import (
	"fmt"
	"io/fs"
	"strings"
)

// NotFoundError says that a name is neither a path nor an entry of the hub cache.
type NotFoundError struct {
	Ref       string
	Looked    []string // places, in the order they were tried
	Revision  string   // the revision that is missing when the repository is cached
	Revisions []string // revisions that the cached repository has, sorted
}

func (e *NotFoundError) Error() string {
	s := e.Ref + ": not found"
	if e.Revision != "" {
		s = fmt.Sprintf("%s: revision %s is not in the local cache", e.Ref, e.Revision)
	}
	if len(e.Looked) > 0 {
		s += "; looked in " + strings.Join(e.Looked, ", ")
	}
	if len(e.Revisions) > 0 {
		s += "; cached revisions: " + strings.Join(e.Revisions, ", ")
	}
	return s
}

// Found says what stands where a base model was expected.
type Found uint8

const (
	// FoundNothing is a path without anything like weights.
	FoundNothing Found = iota
	// FoundAdapter is an adapter.
	FoundAdapter
	// FoundOtherFormat is weights that are not safetensors.
	FoundOtherFormat
	// FoundSeveral is several safetensors files and no index.
	FoundSeveral
	// FoundShard is one shard of several, named as if it were the model.
	FoundShard
	// FoundBelow is weights in sub-directories only.
	FoundBelow
)

var foundText = map[Found]string{
	FoundNothing:     "no weights",
	FoundAdapter:     "this is an adapter, not a base model",
	FoundOtherFormat: "no safetensors weights, only other formats",
	FoundSeveral:     "several safetensors files and no index that says which are the model",
	FoundShard:       "this is one shard of several",
	FoundBelow:       "no weights here, only in sub-directories",
}

func (f Found) String() string { return foundText[f] }

// NotModelError says that a path is not a base model, and what it is.
type NotModelError struct {
	Path  string
	Found Found
	Names []string // the files or directories that led to the verdict, sorted
}

func (e *NotModelError) Error() string {
	return fmt.Sprintf("%s is not a base model: %s%s", e.Path, e.Found, nameList(e.Names))
}

// ConfigError is a base's config.json that is no JSON object.
type ConfigError struct {
	Path string
	Err  error
}

func (e *ConfigError) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }

func (e *ConfigError) Unwrap() error { return e.Err }

// NotAdapterError says that a path holds no adapter.
type NotAdapterError struct {
	Path   string
	Reason string
	IsBase bool     // the path is a base model
	Names  []string // what was found instead, sorted
}

func (e *NotAdapterError) Error() string {
	return fmt.Sprintf("%s holds no adapter: %s%s", e.Path, e.Reason, nameList(e.Names))
}

// nameList writes a few names for a message.
func nameList(names []string) string {
	const most = 6
	if len(names) == 0 {
		return ""
	}
	if len(names) > most {
		return fmt.Sprintf(" (%s and %d more)", strings.Join(names[:most], ", "), len(names)-most)
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// IndexPathError is a name in a shard index that does not stay in its directory,
// or that no tree should hold.
type IndexPathError struct {
	Index  string // the index file
	Name   string // the name in it
	Reason string
}

func (e *IndexPathError) Error() string {
	return fmt.Sprintf("%s names shard %q: %s", e.Index, e.Name, e.Reason)
}

// IndexError is a shard index that cannot be read as one.
type IndexError struct {
	Index string
	Err   error
}

func (e *IndexError) Error() string { return fmt.Sprintf("%s: %v", e.Index, e.Err) }

func (e *IndexError) Unwrap() error { return e.Err }

// MissingShardError is a shard that the index names and the directory lacks.
type MissingShardError struct {
	Index string
	Names []string // all that are missing, sorted
	Of    int      // how many shards the index names
}

func (e *MissingShardError) Error() string {
	return fmt.Sprintf("%s names %d shards, %d are missing%s", e.Index, e.Of, len(e.Names), nameList(e.Names))
}

// LinkError is a symbolic link that is not followed: it leaves the directory it was
// found in, or stands for a part of a pipeline.
type LinkError struct {
	Link   string // the path that was followed
	Target string // where it ends
	Root   string // the directory it should have stayed in, "" when a link may not stand here at all
}

func (e *LinkError) Error() string {
	if e.Root == "" {
		return fmt.Sprintf("%s is a link to the directory %s", e.Link, e.Target)
	}
	return fmt.Sprintf("%s is a link to %s, outside of %s", e.Link, e.Target, e.Root)
}

// FileKindError is a directory, FIFO, socket or device where a file was expected.
type FileKindError struct {
	Path string
	Mode fs.FileMode
}

func (e *FileKindError) Error() string {
	return fmt.Sprintf("%s is %s, not a regular file", e.Path, kindName(e.Mode))
}

func kindName(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// LimitError is an input beyond the bounds of what is read.
type LimitError struct {
	Path  string
	What  string // "files", "directory levels", "bytes"
	Limit int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s has more than %d %s", e.Path, e.Limit, e.What)
}

// StackError is a stack of adapters, as A@0.7+B, that is written wrongly.
type StackError struct {
	Ref    string
	Part   string // "" when the whole is meant
	Reason string
}

func (e *StackError) Error() string {
	if e.Part == "" || e.Part == e.Ref {
		return fmt.Sprintf("stack %s: %s", e.Ref, e.Reason)
	}
	return fmt.Sprintf("stack %s: %s: %s", e.Ref, e.Part, e.Reason)
}

// StackPartError is an adapter of a stack that cannot be opened or merged.
type StackPartError struct {
	Ref  string
	Part string
	Err  error
}

func (e *StackPartError) Error() string {
	return fmt.Sprintf("stack %s: adapter %s: %v", e.Ref, e.Part, e.Err)
}

func (e *StackPartError) Unwrap() error { return e.Err }

// NameError is a name that cannot stand in the tree.
type NameError struct {
	Ref, Name, Reason string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%s: the name %q %s", e.Ref, e.Name, e.Reason)
}

// NameCollisionError says that two adapters would have one name in the tree.
type NameCollisionError struct {
	Name string
	Refs [2]string
}

func (e *NameCollisionError) Error() string {
	return fmt.Sprintf("%s and %s would both be named %q", e.Refs[0], e.Refs[1], e.Name)
}

// Skipped is a checkpoint that was not chosen, and why.
type Skipped struct {
	Name string // "checkpoint-500"
	Err  error
}

// NoCheckpointError is a training output without a checkpoint that can be used.
type NoCheckpointError struct {
	Dir     string
	Skipped []Skipped // newest first
}

func (e *NoCheckpointError) Error() string {
	names := make([]string, len(e.Skipped))
	for i, s := range e.Skipped {
		names[i] = fmt.Sprintf("%s: %v", s.Name, s.Err)
	}
	return fmt.Sprintf("%s: no checkpoint can be used%s", e.Dir, nameList(names))
}

// Unwrap gives the reason of the newest checkpoint.
func (e *NoCheckpointError) Unwrap() error {
	if len(e.Skipped) == 0 {
		return nil
	}
	return e.Skipped[0].Err
}

// Fault says what is wrong with an adapter directory.
type Fault uint8

const (
	ConfigMissing Fault = iota
	ConfigBroken
	WeightsMissing
	WeightsBroken       // not a file of weights, or not a whole one
	WeightsEmpty        // no tensors
	WeightsPlaceholders // tensors of shape [0]
	NoAdapter           // nothing of an adapter
	SeveralAdapters     // sub-directories with an adapter each, and nothing that says which is meant
)

var faultText = map[Fault]string{
	ConfigMissing:       "missing",
	ConfigBroken:        "not the config of an adapter",
	WeightsMissing:      "missing",
	WeightsBroken:       "broken",
	WeightsEmpty:        "holds no tensors",
	WeightsPlaceholders: "holds an empty placeholder",
	NoAdapter:           "holds no adapter",
	SeveralAdapters:     "holds several adapters",
}

func (f Fault) String() string { return faultText[f] }

// UnhealthyError says what is wrong with an adapter directory that was looked at
// as one of several to choose from.
type UnhealthyError struct {
	Path   string
	Fault  Fault
	Detail string
	Err    error // what the file's reader said, nil when the fault says it all
}

func (e *UnhealthyError) Error() string {
	s := fmt.Sprintf("%s: %s", e.Path, e.Fault)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *UnhealthyError) Unwrap() error { return e.Err }
