package lazymerge

import (
	"errors"
	"fmt"
	"strings"
)

// ErrClosed is returned by a Model or File that was closed.
var ErrClosed = errors.New("model is closed")

// Unmatched is one adapter edit for which the base has no tensor.
type Unmatched struct {
	Part          string // what the adapter calls the component of a pipeline, "" where it names none
	Lacks         bool   // the base has no such component
	Module, Param string
	Keys          []string // adapter tensors, as in the file
	Nearest       []string // base tensors with the most similar names
	Ambiguous     []string // set when more than one base tensor fits

	adapter int // its place in a stack
}

// UnmatchedError lists the adapter tensors that fit no base tensor.
type UnmatchedError struct {
	Adapter string // the weights file
	Base    string
	Tensors []Unmatched
	All     bool // nothing of the adapter fits
}

func (e *UnmatchedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d adapter module(s) match no tensor of base %s:", e.Adapter, len(e.Tensors), e.Base)
	for i, u := range e.Tensors {
		if i == 5 {
			fmt.Fprintf(&b, " and %d more", len(e.Tensors)-i)
			break
		}
		fmt.Fprintf(&b, " %s", strings.Join(u.Keys, ", "))
		switch {
		case u.Lacks:
			fmt.Fprintf(&b, " (the base has no component for %s)", u.Part)
		case len(u.Ambiguous) > 0:
			fmt.Fprintf(&b, " (fits several: %s)", strings.Join(u.Ambiguous, ", "))
		case len(u.Nearest) > 0:
			fmt.Fprintf(&b, " (nearest: %s)", strings.Join(u.Nearest, ", "))
		}
		b.WriteByte(';')
	}
	return strings.TrimSuffix(b.String(), ";")
}

// CollisionError says that two modules of an adapter edit one base tensor.
type CollisionError struct {
	Adapter, Tensor string
	Modules         [2]string
}

func (e *CollisionError) Error() string {
	return fmt.Sprintf("%s: modules %s and %s both mean base tensor %s", e.Adapter, e.Modules[0], e.Modules[1], e.Tensor)
}

// EditError is a transform that does not fit the tensor it is for.
type EditError struct {
	Adapter, Base string
	Tensor        string   // base tensor
	Keys          []string // adapter tensors
	Err           error
}

func (e *EditError) Error() string {
	return fmt.Sprintf("%s: %s on base tensor %s: %v", e.Adapter, strings.Join(e.Keys, ", "), e.Tensor, e.Err)
}

func (e *EditError) Unwrap() error { return e.Err }

// QuantizedError is a base whose weights are quantised, so that nothing can be
// added to them.
type QuantizedError struct {
	Base, Method string
	Tensor       string // the first edited tensor of that kind, "" when config.json alone says so
}

func (e *QuantizedError) Error() string {
	if e.Tensor != "" {
		return fmt.Sprintf("base %s is quantised (%s): tensor %s cannot be merged into", e.Base, e.Method, e.Tensor)
	}
	return fmt.Sprintf("base %s is quantised (%s)", e.Base, e.Method)
}

// BaseError is a base whose files contradict each other.
type BaseError struct {
	Path, Tensor, Reason string
}

func (e *BaseError) Error() string {
	if e.Tensor != "" {
		return fmt.Sprintf("%s: tensor %s: %s", e.Path, e.Tensor, e.Reason)
	}
	return fmt.Sprintf("%s: %s", e.Path, e.Reason)
}

// UnmergedError is a base that is a model of PEFT in training, saved whole.
type UnmergedError struct {
	Path   string // the weights
	Tensor string // one that transformers does not look for
}

func (e *UnmergedError) Error() string {
	return fmt.Sprintf("%s holds %s: a PEFT model that was not merged", e.Path, e.Tensor)
}

// PartError is an adapter whose names fit more than one part of a pipeline.
type PartError struct {
	Base  string
	Parts [2]string
}

func (e *PartError) Error() string {
	return fmt.Sprintf("the adapter fits both %s and %s of pipeline %s", e.Parts[0], e.Parts[1], e.Base)
}

// InputChangedError is an input file that was truncated or rewritten while it was
// in use.
type InputChangedError struct {
	Path string
	Err  error
}

func (e *InputChangedError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("an input changed while it was read: %v", e.Err)
	}
	return fmt.Sprintf("input %s changed while it was read: %v", e.Path, e.Err)
}

func (e *InputChangedError) Unwrap() error { return e.Err }

// ReplicationError is a layer_replication that does not fit the base.
type ReplicationError struct {
	Adapter, Reason string
}

func (e *ReplicationError) Error() string {
	return fmt.Sprintf("%s: layer_replication: %s", e.Adapter, e.Reason)
}
