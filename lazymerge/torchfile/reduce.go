package torchfile

import (
	"strings"

	"lorafs/lazymerge/torchfile/pickle"
)

// reduce makes tensors of the calls by which torch rebuilds dense ones. All others stay
// what they are.
func (l *loader) reduce(f pickle.Global, args pickle.Tuple) (any, bool, error) {
	switch f.Module {
	case "torch._utils":
		return l.rebuild(f.Name, args)
	case "torch._tensor":
		// A tensor with attributes, or of a subclass: function, class, arguments, state.
		if f.Name == "_rebuild_from_type_v2" && len(args) == 4 {
			inner, ok1 := args[0].(pickle.Global)
			innerArgs, ok2 := args[2].(pickle.Tuple)
			if ok1 && ok2 && plainClass(args[1]) && inner.Module == "torch._utils" {
				return l.rebuild(inner.Name, innerArgs)
			}
		}
	}
	return nil, false, nil
}

// plainClass: a Tensor or a Parameter, and no subclass, which may mean something else
// by its elements.
func plainClass(v any) bool {
	g, ok := v.(pickle.Global)
	return ok && (g.Name == "Tensor" || g.Name == "Parameter") && strings.HasPrefix(g.Module, "torch")
}

func (l *loader) rebuild(name string, args pickle.Tuple) (any, bool, error) {
	switch name {
	case "_rebuild_tensor": // storage, offset, size, stride
		return l.tensor(args, 4, 4, nil)
	case "_rebuild_tensor_v2": // …, requires_grad, hooks, and maybe metadata
		return l.tensor(args, 6, 7, nil)
	case "_rebuild_tensor_v3": // …, requires_grad, hooks, dtype, and maybe metadata
		if len(args) < 7 {
			return nil, false, nil
		}
		typ := dtypeOf(args[6])
		if typ == nil {
			return nil, false, nil
		}
		rest := append(append(pickle.Tuple{}, args[:6]...), args[7:]...)
		return l.tensor(rest, 6, 7, typ)
	case "_rebuild_parameter", "_rebuild_parameter_with_state": // data, requires_grad, hooks, and maybe state
		if len(args) > 0 {
			t, ok := args[0].(*Tensor)
			return t, ok, nil
		}
	}
	return nil, false, nil
}

// dtypeOf is the type of a name such as torch.uint16, nil when there is none.
func dtypeOf(v any) *elementType {
	if g, ok := v.(pickle.Global); ok && g.Module == "torch" {
		return elementTypes[g.Name]
	}
	return nil
}

// tensor makes a tensor of its arguments, of which there are least to most. typ is nil
// for that of the storage.
func (l *loader) tensor(args pickle.Tuple, least, most int, typ *elementType) (any, bool, error) {
	if len(args) < least || len(args) > most {
		return nil, false, nil
	}
	s, ok := args[0].(*Storage)
	if !ok {
		return nil, false, nil
	}
	offset, ok := args[1].(int64)
	shape, ok1 := dims(args[2])
	stride, ok2 := dims(args[3])
	if !ok || !ok1 || !ok2 {
		return nil, false, problem(BadTensor, "its offset, shape or strides are no numbers")
	}
	if typ == nil {
		typ = s.typ
	}
	t := &Tensor{DType: typ.dtype, Shape: shape, Stride: stride, Offset: offset, Storage: s, typ: typ}
	if len(args) == 7 {
		t.refuse = lazyMath(args[6])
	}
	if err := t.check(); err != nil {
		return nil, false, err
	}
	return t, true, nil
}

// maxDims is torch's own bound.
const maxDims = 64

func dims(v any) ([]int64, bool) {
	var items []any
	switch v := v.(type) {
	case pickle.Tuple:
		items = v
	case *pickle.List:
		items = v.Items
	default:
		return nil, false
	}
	if len(items) > maxDims {
		return nil, false
	}
	out := make([]int64, 0, len(items))
	for _, item := range items {
		n, ok := item.(int64)
		if !ok {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}

// lazyMath says whether a tensor's values are the conjugates or the negatives of its
// elements.
func lazyMath(metadata any) string {
	d, ok := metadata.(*pickle.Dict)
	if !ok {
		return ""
	}
	for _, bit := range []string{"conj", "neg"} {
		if v, _ := d.Get(bit); v == true {
			return "its values are not its elements (" + bit + ")"
		}
	}
	return ""
}
