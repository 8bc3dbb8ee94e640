package kernel

import "math"

// note describes the values of a row.
type note struct {
	bits  uint32 // or of all bits
	least uint32 // least magnitude that is not zero, less one; shifted to the left by one
	most  uint32 // greatest magnitude, shifted likewise
}

// nothing is the note of no values.
var nothing = note{least: math.MaxUint32}

// add notes the bits of a value.
func (n *note) add(b uint32) {
	n.bits |= b
	n.least = min(n.least, b<<1-1) // a zero becomes the greatest
	n.most = max(n.most, b<<1)
}

// addAll notes values.
func (n *note) addAll(values []float32) {
	if v := Default.vectors; v != nil {
		for k := run(len(values)); k > 0; k = run(len(values)) {
			v.note(n, &values[0], k)
			values = values[k:]
		}
	}
	for _, x := range values {
		n.add(math.Float32bits(x))
	}
}

// join notes what other does.
func (n *note) join(other note) {
	n.bits |= other.bits
	n.least, n.most = min(n.least, other.least), max(n.most, other.most)
}

// finite tells whether no value is infinite or NaN.
func (n note) finite() bool { return n.most < 255<<24 }

// brain tells whether all values are bf16, and none is denormal. NaNs count as bf16.
func (n note) brain() bool { return n.bits&0xffff == 0 && n.low() > 0 }

// low and high are the least and the greatest biased exponent of the values that are
// not zero; low is 255 where there are none.
func (n note) low() int {
	if n.least == math.MaxUint32 {
		return 255
	}
	return int((n.least + 1) >> 24)
}

func (n note) high() int { return int(n.most >> 24) }
