package pickle

import (
	"strconv"
	"unicode/utf8"
)

func parseCode(code uint64) string { return strconv.FormatUint(code, 10) }

// construct makes the values of Python's own classes that have a form here. ok is false
// for other classes, and for arguments that these do not take: the call is an Object
// then.
func (d *decoder) construct(g Global, args Tuple) (v any, ok bool, err error) {
	switch g.Module {
	case "collections":
		return d.constructDict(g.Name, args)
	case "builtins", "__builtin__":
		return d.constructBuiltin(g.Name, args)
	case "_codecs":
		if text, is := first[string](args); is && g.Name == "encode" {
			return d.encodeLatin1(text, args)
		}
	case "copyreg", "copy_reg":
		if g.Name == "_reconstructor" {
			return reconstruct(args)
		}
	case "torch":
		if items, is := sequence(args); is && g.Name == "Size" {
			return Tuple(items), true, nil
		}
	}
	return nil, false, nil
}

// first is the first argument, if it is of that type.
func first[T any](args Tuple) (v T, ok bool) {
	if len(args) > 0 {
		v, ok = args[0].(T)
	}
	return v, ok
}

// sequence are the items of the one argument, none when there is no argument.
func sequence(args Tuple) (items []any, ok bool) {
	if len(args) == 0 {
		return nil, true
	}
	if len(args) > 1 {
		return nil, false
	}
	switch v := args[0].(type) {
	case Tuple:
		return v, true
	case *List:
		return v.Items[:len(v.Items):len(v.Items)], true
	case *Set:
		return v.Items[:len(v.Items):len(v.Items)], true
	}
	return nil, false
}

func (d *decoder) constructDict(name string, args Tuple) (any, bool, error) {
	switch name {
	case "OrderedDict", "Counter":
	case "defaultdict":
		args = args[min(1, len(args)):] // a factory
	default:
		return nil, false, nil
	}
	dict := &Dict{}
	if len(args) == 0 {
		return dict, true, nil
	}
	var pairs []any
	if from, ok := first[*Dict](args); ok {
		for k, v := range from.All() {
			if err := d.set(dict, k, v); err != nil {
				return nil, false, err
			}
		}
		return dict, true, nil
	}
	pairs, ok := sequence(args)
	if !ok {
		return nil, false, nil
	}
	for _, p := range pairs {
		pair, ok := sequence(Tuple{p})
		if !ok || len(pair) != 2 {
			return nil, false, nil
		}
		if err := d.set(dict, pair[0], pair[1]); err != nil {
			return nil, false, err
		}
	}
	return dict, true, nil
}

func (d *decoder) constructBuiltin(name string, args Tuple) (any, bool, error) {
	switch name {
	case "set", "frozenset":
		if items, ok := sequence(args); ok {
			return &Set{Items: items}, true, nil
		}
	case "list":
		if items, ok := sequence(args); ok {
			return &List{Items: items}, true, nil
		}
	case "bytes", "bytearray":
		if len(args) == 0 {
			return []byte{}, true, nil
		}
		if b, ok := first[[]byte](args); ok {
			return b, true, nil
		}
		if text, ok := first[string](args); ok {
			return d.encodeLatin1(text, args)
		}
	}
	return nil, false, nil
}

// encodeLatin1 is how protocols before 3 write bytes.
func (d *decoder) encodeLatin1(text string, args Tuple) (any, bool, error) {
	if len(args) != 2 || args[1] != "latin1" && args[1] != "latin-1" {
		return nil, false, nil
	}
	if err := d.spend(int64(len(text))); err != nil {
		return nil, false, err
	}
	b := make([]byte, 0, utf8.RuneCountInString(text))
	for _, r := range text {
		if r > 0xff {
			return nil, false, nil
		}
		b = append(b, byte(r))
	}
	return b, true, nil
}

// reconstruct is how protocols before 2 make objects: a class, a built-in base of it,
// and that base's value.
func reconstruct(args Tuple) (any, bool, error) {
	if len(args) != 3 {
		return nil, false, nil
	}
	class, ok := args[0].(Global)
	if !ok {
		return nil, false, nil
	}
	o := &Object{Class: class}
	if args[2] != nil {
		o.Args = Tuple{args[2]}
	}
	return o, true, nil
}
