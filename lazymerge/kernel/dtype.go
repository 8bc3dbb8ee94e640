package kernel

// DType is the element type of Src and Dst.
type DType uint8

// The element types that a product can be added to.
const (
	BF16 DType = iota
	F16
	F32
)

// Size is the number of bytes of an element.
func (d DType) Size() int {
	if d == F32 {
		return 4
	}
	return 2
}

// Rounding says how often a sum is rounded to the DType.
type Rounding uint8

// The two classes of rounding.
const (
	Once  Rounding = iota // the sum alone
	Twice                 // the product first, then the sum
)
