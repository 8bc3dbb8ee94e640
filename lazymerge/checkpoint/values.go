package checkpoint

import (
	"fmt"
	"math/bits"
	"strconv"

	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/safetensors"
)

// fields reads the members of a pickled dict, and keeps the first thing that is not as
// it should be.
type fields struct {
	file string
	dict *pickle.Dict
	err  error
}

func (f *fields) fail(key, want string, have any) {
	if f.err == nil {
		f.err = &LayoutError{File: f.file, Reason: fmt.Sprintf("%s is %s, wanted %s", key, kindOf(have), want)}
	}
}

// get is a member, nil when it is absent or None.
func (f *fields) get(key string) any {
	v, _ := f.dict.Get(key)
	return v
}

// child is a member that is a dict. Without it the result is empty and f has failed.
func (f *fields) child(key string) *fields {
	d, ok := f.get(key).(*pickle.Dict)
	if !ok {
		f.fail(key, "a dict", f.get(key))
		d = &pickle.Dict{}
	}
	return &fields{file: f.file, dict: d, err: f.err}
}

// list is a member that is a list; nil when it is absent.
func (f *fields) list(key string) []any {
	v := f.get(key)
	items, ok := sequence(v)
	if !ok && v != nil {
		f.fail(key, "a list", v)
	}
	return items
}

func sequence(v any) ([]any, bool) {
	switch v := v.(type) {
	case *pickle.List:
		return v.Items, true
	case pickle.Tuple:
		return v, true
	}
	return nil, false
}

// integer reads an int, or an int enum such as DeepSpeed's ZeroStageEnum.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case *pickle.Object:
		if len(v.Args) == 1 {
			n, ok := v.Args[0].(int64)
			return n, ok
		}
	}
	return 0, false
}

// shape reads a torch.Size, or what stands for one, and bounds its product.
func shape(v any) ([]int64, bool) {
	items, ok := sequence(v)
	if !ok {
		return nil, false
	}
	dims := make([]int64, 0, len(items))
	for _, item := range items {
		n, ok := integer(item)
		if !ok {
			return nil, false
		}
		dims = append(dims, n)
	}
	return dims, sane(dims)
}

// sane: no negative dimension, and fewer than 2^56 elements, so that sums and bytes fit.
func sane(dims []int64) bool {
	const most = 1 << 56
	n := uint64(1)
	for _, d := range dims {
		if d < 0 {
			return false
		}
		hi, lo := bits.Mul64(n, max(uint64(d), 1))
		if hi != 0 || lo > most {
			return false
		}
		n = lo
	}
	return true
}

// attributes are those of a pickled object: its state, or by name its arguments.
func attributes(v any, names ...string) (map[string]any, bool) {
	o, ok := v.(*pickle.Object)
	if !ok {
		return nil, false
	}
	found := make(map[string]any)
	for i, arg := range o.Args {
		if i < len(names) {
			found[names[i]] = arg
		}
	}
	for _, state := range states(o.State) {
		for k, v := range state.All() {
			if name, ok := k.(string); ok {
				found[name] = v
			}
		}
	}
	return found, true
}

// states of an object are a dict, or a pair of one and that of its slots.
func states(v any) []*pickle.Dict {
	switch v := v.(type) {
	case *pickle.Dict:
		return []*pickle.Dict{v}
	case pickle.Tuple:
		var all []*pickle.Dict
		for _, part := range v {
			if d, ok := part.(*pickle.Dict); ok {
				all = append(all, d)
			}
		}
		return all
	}
	return nil
}

// scalar writes a value for comparing and for messages; "" for what has no short form.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool, int64, string:
		return fmt.Sprint(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case *torchfile.Tensor:
		return tensorScalar(v)
	}
	if n, ok := integer(v); ok {
		return fmt.Sprint(n)
	}
	return ""
}

// tensorScalar reads a tensor of one element, as PyTorch keeps counts of steps.
func tensorScalar(t *torchfile.Tensor) string {
	if t.Elements() != 1 {
		return ""
	}
	b := make([]byte, t.Bytes())
	if t.ReadAt(b, 0) != nil {
		return ""
	}
	if value := make([]float32, 1); t.DType != safetensors.F64 && floating(t.DType) && safetensors.AsFloat32(value, b, t.DType) == nil {
		return strconv.FormatFloat(float64(value[0]), 'g', -1, 32)
	}
	return fmt.Sprintf("%s %x", t.DType, b)
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "missing"
	case *pickle.Dict:
		return "a dict"
	case *pickle.List:
		return "a list"
	case pickle.Tuple:
		return "a tuple"
	case *torchfile.Tensor:
		return "a tensor"
	case string:
		return "a string"
	case int64:
		return fmt.Sprintf("the number %d", v)
	case *pickle.Object:
		return "an object of " + shorten(v.Class.String())
	}
	return fmt.Sprintf("a %T", v)
}
