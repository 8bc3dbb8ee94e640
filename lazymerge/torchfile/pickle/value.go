package pickle

// Values are nil, bool, int64, *big.Int, float64, string, []byte, Tuple, *List, *Dict,
// *Set, Global, *Object, and what the callbacks of Options return.

// Tuple is a tuple.
type Tuple []any

// List is a list.
type List struct{ Items []any }

// Set is a set or a frozenset, in the order of the pickle.
type Set struct{ Items []any }

// Global is a class or a function that was named.
type Global struct{ Module, Name string }

// String joins the names with a dot.
func (g Global) String() string {
	if g.Module == "" {
		return g.Name
	}
	return g.Module + "." + g.Name
}

// Object is what a call gave that nobody knows: the call, and what was done to its
// result.
type Object struct {
	Class   Global
	Args    Tuple
	Kwargs  *Dict // nil for none
	State   any   // of __setstate__, nil for none
	Items   []any // appended
	Entries *Dict // set by key, nil for none
}

// unnamed is the class of a call of something that is itself the result of a call.
var unnamed = Global{Name: "(a value)"}

// Int reads an int, or an object that was made of one int alone, as members of an
// IntEnum are.
func Int(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case *Object:
		if len(v.Args) == 1 && v.State == nil {
			n, ok := v.Args[0].(int64)
			return n, ok
		}
	}
	return 0, false
}
