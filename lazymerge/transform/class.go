package transform

// Class says how PEFT rounds when it merges a type: with its default arguments and
// under safe_merge.
type Class uint8

// The classes.
const (
	Single       Class = iota // the merged weight alone, in both
	Double                    // the delta and then the sum, in both
	SingleDouble              // single, but double under safe_merge
	DoubleSingle              // double, but single under safe_merge
	Steps                     // after each of several steps, see the transform
	Copied                    // values are put in place of the base's
)

func (c Class) String() string {
	return [...]string{"single", "double", "single, safe double", "double, safe single", "steps", "copied"}[c]
}

// Twice tells whether the delta is rounded before it is added.
func (c Class) Twice(r Rounding) bool {
	switch c {
	case Double:
		return r != Once
	case SingleDouble:
		return r.safe()
	case DoubleSingle:
		return r == PEFT
	}
	return false
}

func (c Class) passes(r Rounding) []pass {
	if c.Twice(r) {
		return twice
	}
	return once
}
