package modeldir

import (
	"time"

	"lorafs/safetensors"
)

// File is a regular file and its place in the tree.
type File struct {
	Path    string // slash path in the tree
	Host    string // the real file, free of symbolic links
	Size    int64
	ModTime time.Time
}

// Shard is one weights file of a component.
type Shard struct {
	Name string // slash path relative to the component, as the index has it
	Host string // the real file
}

// Component is a directory of weights with its own config.json: the whole model,
// or one part of a diffusers pipeline.
type Component struct {
	Dir        string             // "" or the part's directory in the tree: "unet"
	Shards     []Shard            // sorted by name
	Index      *safetensors.Index // nil when the weights are one file
	IndexPath  string             // the index in the tree, "" when there is none
	Config     []byte             // config.json as it is, nil when there is none
	ConfigPath string             // config.json in the tree, "" when there is none
}

// Base is a base model on disk.
type Base struct {
	Ref        string // as it was named
	Dir        string // the real directory, or the real file when SingleFile
	Files      []File // all that belongs in the tree, sorted by Path, weights included
	Components []Component
	SingleFile bool
	LeftOut    []string // what the directory holds and the tree does not: "path: why", sorted
}

// Adapter is one adapter and its place in the tree.
type Adapter struct {
	Name  string // name in the tree
	Ref   string // as it was named, or the path of a library's entry
	Dir   string // the real directory with adapter_config.json and the weights, or with File
	File  string // the real file of an adapter that is one file, else ""
	Files []File // the files that win over the base's: tokenizer, chat template, generation config
	Note  string // what was chosen for the user, "" when nothing was
	// Place is the real path of a library's entry, "" of what was named by itself.
	Place string
	// Marks tell two states of the adapter's files apart: they change when one of them is
	// written, replaced, added or removed. FindAdapters and Source.Look set them.
	Marks string
	// Source is the place among a Library's Sources of the one that led to it.
	Source int
	// Err says why there is no adapter to open. It is set only where other adapters
	// remain usable: in a library, and when several were named.
	Err error
	// Parts are the adapters of a stack in the order they were written, nil for one
	// adapter. Dir is then that of the first, and Files those of the last with any.
	Parts []Part
}

// Library is the adapters of one mount.
type Library struct {
	Adapters []Adapter // sorted by Name
	Dirs     []string  // the libraries among what was named
	Sources  []*Source // what was named, in that order
	Single   bool      // one adapter was named, without a name of its own: the mount point is the model
}
