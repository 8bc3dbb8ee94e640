package torchfile

import (
	"fmt"

	"lorafs/lazymerge/torchfile/pickle"
)

// State is a state dict taken apart.
type State struct {
	Tensors []Named // in the order of the dict
	Others  []Other // what is no tensor
}

// Named is a tensor and its name.
type Named struct {
	Name string
	*Tensor
}

// Other is an entry that is no tensor, or has no name.
type Other struct {
	Name  string
	Value any
}

// StateDict takes a dict of named tensors apart. ok is false for what is no dict.
func StateDict(v any) (s *State, ok bool) {
	d, ok := v.(*pickle.Dict)
	if !ok {
		return nil, false
	}
	s = &State{}
	for k, v := range d.All() {
		name, isName := k.(string)
		t, isTensor := v.(*Tensor)
		switch {
		case isName && isTensor:
			s.Tensors = append(s.Tensors, Named{name, t})
		case isName:
			s.Others = append(s.Others, Other{name, v})
		default:
			s.Others = append(s.Others, Other{fmt.Sprintf("(a key that is a %T)", k), v})
		}
	}
	return s, true
}
