package transform

// Joint is a Transform that depends on the parameters that its recipe's other edits are
// for: projections are drawn in the size of the largest layer.
type Joint interface {
	Transform
	// Join is the transform to bind. all are the parameters of the recipe's Joint edits.
	Join(all []Param) Transform
}

// largest is the most outputs and inputs of linear layers.
func largest(all []Param) (out, in int64) {
	for _, p := range all {
		i, o := p.inOut()
		out, in = max(out, o), max(in, i)
	}
	return out, in
}
