package transform

import (
	"fmt"

	"lorafs/safetensors"
)

// Weighted adds By times what a Transform adds.
type Weighted struct {
	Transform
	By float64
}

var _ Ranged = Weighted{}

// Describe implements Transform.
func (w Weighted) Describe() Description {
	d := w.Transform.Describe()
	d.Scaling *= w.By
	return d
}

// Range implements Ranged.
func (w Weighted) Range(norm func(*safetensors.Tensor) float64) (added, times float64) {
	return reach(w, norm)
}

// Bind implements Transform. Errors: *WeightError where the transform has no multiple.
func (w Weighted) Bind(p Param, r Rounding) (Bound, error) {
	b, err := w.Transform.Bind(p, r)
	if err != nil {
		return nil, err
	}
	x, ok := b.(weigher)
	if !ok {
		return nil, &WeightError{Tensor: p.Name, Weight: w.By, Type: w.Transform.Describe().Type, Reason: noMultiple(w.Transform)}
	}
	x.weigh(w.By)
	return b, nil
}

// weigher is a Bound with a delta that can be multiplied.
type weigher interface{ weigh(by float64) }

func (l *lowRank) weigh(by float64)  { l.scale *= by }
func (a *addition) weigh(by float64) { a.scale = float32(float64(a.scale) * by) }
func (d *dense) weigh(by float64)    { d.by *= float32(by) }
func (a *addBias) weigh(by float64)  { a.Scale *= by }

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
	switch t.(type) {
	case DoRA, Scaling, Replace, ReplaceRows:
		return nil, &WeightError{Tensor: parameter, Weight: by, Type: t.Describe().Type, Reason: noMultiple(t)}
	}
	return Weighted{Transform: t, By: by}, nil
}
