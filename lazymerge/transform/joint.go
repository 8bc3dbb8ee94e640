package transform

// Joint is a Transform that depends on the parameters that its recipe's other edits are
// for: projections are drawn in the size of the largest layer, or for one layer after
// the other.
type Joint interface {
	Transform
	// Join is the transform to bind. Errors: *JointError.
	Join(Peers) (Transform, error)
}

// Peers are the parameters of a recipe's Joint edits.
type Peers struct {
	Params []Param
	// Order is nil, or why Params are not in the order of the model's modules.
	Order error
	Self  int // whose transform it is
}

// largest is the most outputs and inputs of linear layers.
func (p Peers) largest() (out, in int64) {
	for _, x := range p.Params {
		i, o := x.inOut()
		out, in = max(out, o), max(in, i)
	}
	return out, in
}
