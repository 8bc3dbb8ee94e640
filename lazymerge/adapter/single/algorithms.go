package single

import "lorafs/lazymerge/transform"

// algorithm is one way to adapt a module.
type algorithm struct {
	name    string
	marks   []role // one of them tells the algorithm
	needs   []role
	options []role
	weight  bool // it changes the weight, which only one may
	edits   func(*parser, *layer) ([]transform.Edit, error)
	refused string // why it cannot be merged
}

// algorithms are those of sd-scripts, LyCORIS and diffusers.
var algorithms = []algorithm{
	{name: "LoRA", marks: []role{roleDown, roleUp, roleMid}, needs: []role{roleDown, roleUp},
		options: []role{roleAlpha, roleMagnitude, roleUpBias}, weight: true, edits: (*parser).lora},
}
