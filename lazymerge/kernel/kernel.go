package kernel

//go:generate go -C _asm run . -out ..

// Args describes one call. Src and Dst hold B's rows, each of A.Cols elements.
type Args struct {
	Dst, Src []byte
	DType    DType
	A        Factor
	B        *Coeffs
	Scale    float32
	Rounding Rounding
}

// AddLowRank adds a product to rows with the Default tier; see Tier.
func AddLowRank(a *Args) int { return Default.AddLowRank(a) }

// SumRows computes fp32 sums with the Default tier; see Tier.
func SumRows(dst []float32, a *Args) { Default.SumRows(dst, a) }

// BlockRows is the number of rows to pass to a call: few enough to keep it short,
// enough to reuse the packed factor.
func BlockRows(rank, cols int) int {
	return min(max(Default.Work/max(rank*cols, 1), 4), 256)
}
