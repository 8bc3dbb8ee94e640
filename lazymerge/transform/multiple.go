package transform

import (
	"fmt"
	"slices"

	"lorafs/safetensors"
)

// Multiple adds By times what a Transform adds.
type Multiple struct {
	Transform
	By float64
}

var _ Ranged = Multiple{}

// Describe implements Transform.
func (w Multiple) Describe() Description {
	d := w.Transform.Describe()
	d.Scaling *= w.By
	return d
}

// Range implements Ranged.
func (w Multiple) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return reach(w, norm)
}

// Bind implements Transform. Errors: *WeightError where the transform has no multiple.
func (w Multiple) Bind(p Param, r Rounding) (Bound, error) {
	b, err := w.Transform.Bind(p, r)
	if err != nil {
		return nil, err
	}
	switch x := b.(type) {
	case *lowRank:
		x.scale *= w.By
	case *addition:
		x.scale = float32(float64(x.scale) * w.By)
	case *dense:
		x.by *= float32(w.By)
	case *addBias:
		x.Scale *= w.By
	default:
		return nil, &WeightError{Tensor: p.Name, Weight: w.By, Type: w.Transform.Describe().Type, Reason: noMultiple(w.Transform)}
	}
	return b, nil
}

func noMultiple(t Transform) string {
	switch t.(type) {
	case DoRA:
		return "DoRA sets the lengths of weights, and a multiple of that is not defined"
	case Scaling:
		return "it multiplies the weights; PEFT's weighted sum of such adapters is --combine linear"
	case Replace, ReplaceRows:
		return "it holds values that take the place of the base's"
	}
	return "what it does depends on the weights, so that it has no multiple"
}

// WeightError says that an edit cannot be weighted.
type WeightError struct {
	Tensor, Type string
	Weight       float64
	Reason       string
}

func (e *WeightError) Error() string {
	return fmt.Sprintf("weight %v for the %s edit of %q: %s", e.Weight, e.Type, e.Tensor, e.Reason)
}

// Weigh is t with By times what it adds. Errors: *WeightError for what has no multiple
// whatever it is bound to, about the parameter named.
func Weigh(t Transform, by float64, parameter string) (Transform, error) {
	if by == 1 {
		return t, nil
	}
	switch x := t.(type) {
	case LowRank:
		x.Scale *= by
		return x, nil
	case Stack:
		x.Params = slices.Clone(x.Params)
		for i := range x.Params {
			x.Params[i].Scale *= by
		}
		if x.Plain == nil {
			return x, nil
		}
		plain, err := Weigh(x.Plain, by, parameter)
		x.Plain = plain
		return x, err
	case DoRA, Scaling, Replace, ReplaceRows:
		return nil, &WeightError{Tensor: parameter, Weight: by, Type: t.Describe().Type, Reason: noMultiple(t)}
	}
	return Multiple{Transform: t, By: by}, nil
}
