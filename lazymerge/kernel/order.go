package kernel

// order is the order in which the products of an element are added up.
type order uint8

const (
	chain order = iota
	pairwise
)

// step is the number of k that a step of the pairwise order covers, longest that of
// the longest chain.
const (
	step    = 32
	longest = 192
)

// run is the number of k that are added up by themselves.
func (o order) run(rank int) int {
	switch {
	case o == pairwise:
		return step
	case rank > longest && rank <= 2*longest:
		return (rank + 1) / 2
	default:
		return longest
	}
}

// order is that of row i.
func (a *Args) order(i int) order {
	if a.A.grain.brain() && a.B.notes[i].brain() {
		return pairwise
	}
	return chain
}

// alike is the number of rows from i on that share its order.
func (a *Args) alike(i int) int {
	n := 1
	for o := a.order(i); i+n < a.B.rows && a.order(i+n) == o; n++ {
	}
	return n
}
