package kernel

// Args describes one call. Src and Dst hold B's rows, each of A.Cols elements.
type Args struct {
	Dst, Src []byte
	DType    DType
	A        Factor
	B        *Coeffs
	Scale    float32
	Rounding Rounding
}

// Tier is one implementation of the arithmetic.
type Tier struct {
	Name      string
	Available func() bool
	// AddLowRank fills a.Dst and returns the first row where a finite weight became
	// NaN or infinite, or -1.
	AddLowRank func(a *Args) int
	// SumRows fills dst with W + d in fp32, unrounded; a.Dst and a.Rounding are unused.
	SumRows func(dst []float32, a *Args)
	// Work is the number of multiply-adds that keep a call short. Assembly cannot be
	// preempted and must stay below 100 µs; pure Go may take longer.
	Work int
}

// Tiers lists the implementations, the fastest first. The last one is pure Go, always
// available, and defines what the others must give.
var Tiers = []*Tier{
	{
		Name:       "go",
		Available:  func() bool { return true },
		AddLowRank: addLowRank,
		SumRows:    sumRows,
		Work:       1 << 20,
	},
}

// Default is the tier that the functions of the package use: the first available.
var Default = firstAvailable()

func firstAvailable() *Tier {
	for _, t := range Tiers {
		if t.Available() {
			return t
		}
	}
	panic("kernel: no tier is available")
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
