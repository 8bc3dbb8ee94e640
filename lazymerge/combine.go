package lazymerge

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/transform"
)

// Combine says how the adapters of a stack become one, as PEFT's add_weighted_adapter
// does it (peft tuners/lora/model.py:786 @0.21.2).
type Combine struct {
	Type      string  // one of CombineTypes
	Density   float64 // share of values that stay, 0 to 1; of the types that prune
	Frequency bool    // majority_sign_method="frequency" instead of "total"
	Seed      int64   // of what is drawn at random
}

type combineType struct {
	form  transform.Form
	blend transform.Blend
}

var combineTypes = map[string]combineType{
	"linear":              {},
	"cat":                 {form: transform.Concatenated},
	"ties":                {blend: transform.Blend{Prune: transform.KeepLargest, Elect: true}},
	"dare_linear":         {blend: transform.Blend{Prune: transform.KeepRandom}},
	"dare_ties":           {blend: transform.Blend{Prune: transform.KeepRandom, Elect: true}},
	"magnitude_prune":     {blend: transform.Blend{Prune: transform.KeepLargest}},
	"svd":                 {form: transform.Truncated},
	"ties_svd":            {transform.Truncated, transform.Blend{Prune: transform.KeepLargest, Elect: true}},
	"dare_linear_svd":     {transform.Truncated, transform.Blend{Prune: transform.KeepRandom}},
	"dare_ties_svd":       {transform.Truncated, transform.Blend{Prune: transform.KeepRandom, Elect: true}},
	"magnitude_prune_svd": {transform.Truncated, transform.Blend{Prune: transform.KeepLargest}},
}

// CombineTypes lists the values of Combine.Type.
func CombineTypes() []string {
	return []string{"linear", "cat", "ties", "dare_ties", "dare_linear", "magnitude_prune", "svd",
		"ties_svd", "dare_ties_svd", "dare_linear_svd", "magnitude_prune_svd"}
}

// Prunes says whether the type takes a density.
func (c Combine) Prunes() bool { return combineTypes[c.Type].blend.Prune != transform.KeepAll }

// Elects says whether the type takes a way to find the majority's sign.
func (c Combine) Elects() bool { return combineTypes[c.Type].blend.Elect }

// Draws says whether the type draws at random.
func (c Combine) Draws() bool { return combineTypes[c.Type].blend.Prune == transform.KeepRandom }

// Check says what is wrong with the settings.
func (c Combine) Check() error {
	switch _, ok := combineTypes[c.Type]; {
	case !ok:
		return fmt.Errorf("%q is no way to combine; known are %s", c.Type, strings.Join(CombineTypes(), ", "))
	case c.Prunes() && !(c.Density >= 0 && c.Density <= 1):
		return fmt.Errorf("a density of %v; it is a share from 0 to 1", c.Density)
	case c.Draws() && c.Density == 0:
		return errors.New("a density of 0, by which what stays would be divided")
	}
	return nil
}

// CombineError says that an adapter of a stack holds what cannot be combined.
type CombineError struct {
	Type   string // of the combination
	Keys   []string
	Reason string
}

func (e *CombineError) Error() string {
	s := "--combine " + e.Type + ": " + e.Reason
	if len(e.Keys) > 0 {
		s += " (" + strings.Join(e.Keys, ", ") + ")"
	}
	return s
}

// check refuses what PEFT does not combine, or would drop without a word.
func (c *Combine) check(s *stack) error {
	if err := c.Check(); err != nil {
		return &CombineError{Type: c.Type, Reason: err.Error()}
	}
	kind := s.parts[0].recipe.Type
	for _, p := range s.parts {
		refuse := func(keys []string, format string, args ...any) error {
			return &modeldir.StackPartError{Ref: s.ref, Part: p.name, Err: &CombineError{Type: c.Type, Keys: keys, Reason: fmt.Sprintf(format, args...)}}
		}
		switch t := p.recipe.Type; {
		case t != kind:
			return refuse(nil, "an adapter of type %s is not combined with one of type %s", t, kind)
		case t == "IA3" && c.Type != "linear":
			return refuse(nil, "adapters of type IA3 are combined by linear alone")
		}
		for _, e := range p.recipe.Edits {
			switch e.Transform.(type) {
			case transform.LowRank:
			case transform.Scaling:
			case transform.DoRA:
				return refuse(e.Keys, "DoRA's magnitudes are not combined")
			default:
				return refuse(e.Keys, "only factors A and B are combined, and PEFT loses the rest")
			}
		}
	}
	return nil
}

// combine makes one edit of all that are for the same place, where the stack asks so.
func (p *planner) combine(o *output, edits []placedEdit) ([]placedEdit, error) {
	c := p.opt.Combine
	if c == nil || p.opt.stack == nil {
		return edits, nil
	}
	var out []placedEdit
	for len(edits) > 0 {
		here := func(e placedEdit) bool { return samePlace(e, edits[0]) && e.Param == edits[0].Param }
		group := slices.DeleteFunc(slices.Clone(edits), func(e placedEdit) bool { return !here(e) })
		one, err := p.combineOne(o, group)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
		edits = slices.DeleteFunc(slices.Clone(edits), here)
	}
	return out, nil
}

func (p *planner) combineOne(o *output, group []placedEdit) (placedEdit, error) {
	c, s := p.opt.Combine, p.opt.stack
	e := group[0]
	e.terms, e.Keys = group, nil
	var weights []float64
	var low []transform.LowRank
	var scalings []transform.Scaling
	for i, x := range group {
		if i > 0 && x.Adapter == group[i-1].Adapter {
			return e, p.of(x.Adapter, &CombineError{Type: c.Type, Keys: append(e.Keys, x.Keys...), Reason: "two modules that share the tensor " + o.name + " are not combined"})
		}
		weights = append(weights, s.parts[x.Adapter].weight)
		e.Keys = append(e.Keys, x.Keys...)
		switch t := x.Transform.(type) {
		case transform.LowRank:
			low = append(low, t)
		case transform.Scaling:
			scalings = append(scalings, t)
		}
	}
	switch {
	case len(scalings) == len(group):
		e.Transform = transform.Scalings{Of: scalings, Weights: weights}
	case len(low) == len(group):
		e.Transform = c.combination(s, low, weights, o.name)
	default:
		return e, &CombineError{Type: c.Type, Keys: e.Keys, Reason: "the edits are of different kinds"}
	}
	return e, nil
}

// combination is PEFT's for one module.
func (c *Combine) combination(s *stack, of []transform.LowRank, weights []float64, tensor string) transform.Combination {
	t := combineTypes[c.Type]
	if len(s.parts) == 1 {
		t = combineType{} // PEFT makes that of every type
	}
	t.blend.Density, t.blend.Frequency = c.Density, c.Frequency
	rank := s.newRank(t.form)
	scale := 1.0
	if s.parts[0].recipe.RSLoRA {
		scale = math.Sqrt(float64(rank))
	}
	first := s.parts[0].recipe.MiCA()
	for i := range of {
		of[i].MiCA = first
	}
	return transform.Combination{
		Type: c.Type, Of: of, Weights: weights, Form: t.form, Blend: t.blend, Rank: rank, Scale: scale,
		Seed: c.Seed + int64(crc32.ChecksumIEEE([]byte(tensor))),
	}
}

// newRank is the rank in the config of PEFT's result.
func (s *stack) newRank(f transform.Form) int64 {
	var sum, most int64
	for _, p := range s.parts {
		sum += p.recipe.Rank
		most = max(most, p.recipe.Rank)
	}
	if f == transform.Concatenated {
		return sum
	}
	return most
}
