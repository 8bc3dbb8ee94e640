package torchfile

import (
	"errors"
	"fmt"

	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// Weights is a file whose object is a dict of named tensors and of nothing else.
type Weights struct {
	*File
	tensors []*safetensors.Tensor
	named   []Named // where they lie
}

// OpenWeights opens such a file. Tensors that lie in it in order are ranges of the
// mapping, others are copied. Errors: those of Open; *Error of kind NotTensors for a
// file that holds anything else, of BadTensor and UnknownDType for a tensor that
// cannot be read.
func OpenWeights(path string) (*Weights, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	w := &Weights{File: f}
	if err := w.name(); err != nil {
		return nil, errors.Join(f.located(err), f.Close())
	}
	return w, nil
}

// Tensors gives the tensors in the order of the dict.
func (w *Weights) Tensors() []*safetensors.Tensor { return w.tensors }

// name makes the tensors. Copies of views are bounded by the file all together.
func (w *Weights) name() error {
	s, ok := StateDict(w.Root())
	if !ok {
		return problem(NotTensors, "it holds %s", kindOf(w.Root()))
	}
	if len(s.Others) > 0 {
		o := s.Others[0]
		return problem(NotTensors, "%q is %s%s", shorten(o.Name), kindOf(o.Value), more(len(s.Others)-1))
	}
	w.named = s.Tensors
	copied := int64(0)
	for _, t := range s.Tensors {
		if !t.inPlace() {
			if copied += t.Bytes(); copied > w.Size() {
				return &Error{Kind: BadTensor, Tensor: t.Name, Detail: "the views up to this one have more values than the file"}
			}
		}
		named, err := t.Named(t.Name)
		if err != nil {
			return about(t.Name, err)
		}
		w.tensors = append(w.tensors, named)
	}
	return nil
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}

// about says which tensor an error is about.
func about(tensor string, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		e.Tensor = tensor
	}
	return err
}

// kindOf names what a value is.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case *Tensor:
		return "one tensor"
	case *pickle.Dict:
		return "a dict"
	case *pickle.List:
		return "a list"
	case pickle.Tuple:
		return "a tuple"
	case *pickle.Object:
		return "an object of " + shorten(v.Class.String())
	case pickle.Global:
		return "the name " + shorten(v.String())
	case string:
		return "a string"
	case bool:
		return "a bool"
	case int64, float64:
		return "a number"
	case *Storage:
		return "a storage without a shape"
	}
	return "another value"
}
