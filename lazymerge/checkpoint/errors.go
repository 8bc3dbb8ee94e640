package checkpoint

import (
	"fmt"
	"strings"
)

// NotFoundError says that no checkpoint lies at a path.
type NotFoundError struct {
	Path  string
	Holds string // what a file holds instead of parameters, "" of a directory
}

func (e *NotFoundError) Error() string {
	if e.Holds != "" {
		return fmt.Sprintf("%q is no checkpoint of a training run: it holds %s", e.Path, e.Holds)
	}
	return fmt.Sprintf("%q is no checkpoint of a training run", e.Path)
}

// LatestError is a file `latest` that does not lead to a checkpoint.
type LatestError struct {
	File string
	Tag  string // what it says
}

func (e *LatestError) Error() string {
	return fmt.Sprintf("%q names %q, which is not there", e.File, shorten(e.Tag))
}

// RanksError says that files of some ranks are missing, or that there are too many.
type RanksError struct {
	Dir     string
	Files   string // what they are: "optimizer states"
	Have    int
	Want    int
	By      string   // file that says how many
	Missing []string // file names
	OneFile bool     // one file that is there holds all values as the model computed with them
}

func (e *RanksError) Error() string {
	noun := "files"
	if e.Have == 1 {
		noun = "file"
	}
	s := fmt.Sprintf("%q holds %d %s of %s, %s says %d", e.Dir, e.Have, noun, e.Files, e.By, e.Want)
	if len(e.Missing) > 0 {
		s += "; missing: " + shortList(e.Missing)
	}
	return s
}

// MixedError says that two files of a checkpoint are not of the same saving.
type MixedError struct {
	File, Other string
	What        string // what differs
	Has, Had    string
}

func (e *MixedError) Error() string {
	return fmt.Sprintf("%q does not belong with %q: %s is %s, not %s", e.File, e.Other, e.What, shorten(e.Has), shorten(e.Had))
}

// LayoutError says that a file contradicts itself or the layout of its kind.
type LayoutError struct {
	File   string
	Tensor string // "" when it is none in particular
	Reason string
}

func (e *LayoutError) Error() string {
	if e.Tensor == "" {
		return fmt.Sprintf("%q: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%q: %q: %s", e.File, shorten(e.Tensor), e.Reason)
}

// UnsupportedError is a checkpoint of a kind that is not put together.
type UnsupportedError struct {
	File   string
	Reason string
}

func (e *UnsupportedError) Error() string { return fmt.Sprintf("%q: %s", e.File, e.Reason) }

// ReadError says which file, or which tensor in it, could not be read.
type ReadError struct {
	File   string
	Tensor string // "" when the file could not be opened
	Err    error
}

func (e *ReadError) Error() string {
	if e.Tensor == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%q: reading %q: %v", e.File, shorten(e.Tensor), e.Err)
}

func (e *ReadError) Unwrap() error { return e.Err }

// shortList joins names, the first few in full.
func shortList(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// shorten keeps a hostile name from filling a terminal.
func shorten(s string) string {
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, s)
}
