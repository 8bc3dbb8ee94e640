package transform

import (
	"fmt"
	"strings"

	"lorafs/safetensors"
)

// ShapeError says that a tensor of the adapter does not fit the base parameter.
type ShapeError struct {
	Tensor string  // base parameter
	Base   []int64 // its shape; nil when only Want matters
	Other  string  // adapter tensor
	Want   []int64 // shape that the parameter asks of Other; -1 is any size
	Got    []int64 // shape that Other has
	Made   bool    // Got is of a matrix that Other and further tensors make

	// Beside is another tensor of the adapter, and its shape, that Want follows from:
	// the two contradict each other, whatever the base. "" when Want is the parameter's.
	Beside      string
	BesideShape []int64
	// Exchanged: Other and Beside would fit the parameter in each other's place, or turned.
	Exchanged bool
	// Groups is of how many groups a convolution has such factors; 0 when that does not
	// explain the shapes.
	Groups int64
}

// Within says that the adapter's tensors are wrong by themselves.
func (e *ShapeError) Within() bool { return e.Beside != "" || e.Tensor == "" }

// Grouped says that the shapes are those of factors of a depthwise convolution, which no
// others have but by a rare chance. Fewer groups than inputs may be two ranks as well.
func (e *ShapeError) Grouped() bool {
	return e.Groups > 0 && (e.Beside == "" || e.BesideShape[1] == e.Groups)
}

func (e *ShapeError) Error() string {
	base, other := fmt.Sprintf("%q", e.Tensor), "the adapter's tensor"
	if e.Base != nil {
		base += fmt.Sprintf(" %v", e.Base)
	}
	if e.Other != "" {
		other = fmt.Sprintf("%q", e.Other)
	}
	if e.Made {
		other = "the matrix made of " + other
	}
	switch {
	case e.Exchanged:
		return fmt.Sprintf("%s %v and %q %v fit %s only when they are exchanged or transposed", other, e.Got, e.Beside, e.BesideShape, base)
	case e.Beside != "":
		base = fmt.Sprintf("%q %v", e.Beside, e.BesideShape)
	case e.Tensor == "":
		return fmt.Sprintf("%s has shape %v, where %s is needed", other, e.Got, sizes(e.Want))
	}
	s := fmt.Sprintf("%s has shape %v, but %s needs %s", other, e.Got, base, sizes(e.Want))
	if e.Groups > 0 {
		s += fmt.Sprintf("; a convolution of %d groups has such factors", e.Groups)
	}
	return s
}

// sizes writes a shape with a ? for any size.
func sizes(shape []int64) string {
	return strings.ReplaceAll(fmt.Sprint(shape), "-1", "?")
}

// DTypeError says that a tensor has an element type that cannot be merged.
type DTypeError struct {
	Tensor string
	DType  safetensors.DType
}

func (e *DTypeError) Error() string {
	return fmt.Sprintf("%q has dtype %v, which cannot be merged", e.Tensor, e.DType)
}

// LayerError says that a transform is not defined for a kind of layer.
type LayerError struct {
	Tensor    string
	Transform string
	Layer     Kind
}

func (e *LayerError) Error() string {
	return fmt.Sprintf("%s is not defined for %v, the layer of %q", e.Transform, e.Layer, e.Tensor)
}

// JointError says that what an adapter has drawn from a seed cannot be drawn again.
type JointError struct {
	Transform string
	Reason    string
	Err       error // nil, or why the order of the modules is not known
}

func (e *JointError) Error() string {
	s := e.Transform + ": what was not saved cannot be drawn again: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *JointError) Unwrap() error { return e.Err }

// IndexError says that the index of a row, or of a column, lies outside the base
// parameter.
type IndexError struct {
	Tensor string
	Index  int64
	Rows   int64 // how many there are
	Column bool  // Index and Rows are of columns
}

func (e *IndexError) Error() string {
	what := "row"
	if e.Column {
		what = "column"
	}
	return fmt.Sprintf("%s %d is outside %q, which has %d %ss", what, e.Index, e.Tensor, e.Rows, what)
}

// OverflowError says that merging made a finite weight NaN or infinite.
type OverflowError struct {
	Tensor string // "" when the caller gave no name
	DType  safetensors.DType
	Row    int64
}

func (e *OverflowError) Error() string {
	if e.Tensor == "" {
		return fmt.Sprintf("a value does not fit %v", e.DType)
	}
	return fmt.Sprintf("merged row %d of %q does not fit %v: not finite", e.Row, e.Tensor, e.DType)
}

// SumError says that a parameter has an edit that cannot be a term of a sum.
type SumError struct{ Tensor string }

func (e *SumError) Error() string {
	return fmt.Sprintf("the edits of %q cannot be added up", e.Tensor)
}
