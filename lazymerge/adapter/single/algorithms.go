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
		options: []role{roleAlpha, roleMagnitude, rolePEFTMagnitude, roleUpBias}, weight: true, edits: (*parser).lora},
	{name: "LoHa", marks: []role{roleHada1A, roleHada1B, roleHada2A, roleHada2B, roleHadaT1, roleHadaT2},
		needs:   []role{roleHada1A, roleHada1B, roleHada2A, roleHada2B},
		options: []role{roleAlpha, roleMagnitude}, weight: true, edits: (*parser).loha},
	{name: "LoKr", marks: []role{roleKron1, roleKron1A, roleKron1B, roleKron2, roleKron2A, roleKron2B, roleKronT2},
		options: []role{roleAlpha, roleMagnitude}, weight: true, edits: (*parser).lokr},
	{name: "GLoRA", marks: []role{roleA1, roleA2, roleB1, roleB2, roleBM}, needs: []role{roleA1, roleA2, roleB1, roleB2},
		options: []role{roleAlpha}, weight: true, edits: (*parser).glora},
	{name: "OFT", marks: []role{roleBlocks}, options: []role{roleAlpha, roleRescale}, weight: true, edits: (*parser).oft},
	{name: "IA3", marks: []role{roleOnInput}, needs: []role{roleIA3}, weight: true, edits: (*parser).ia3},
	{name: "full", marks: []role{roleDiff}, weight: true, edits: (*parser).full},
	{name: "norm", marks: []role{roleNorm}, weight: true, edits: added("weight", roleNorm)},
	{name: "weights", marks: []role{roleSet}, weight: true, edits: (*parser).set},
	{name: "bias", marks: []role{roleDiffBias}, edits: added("bias", roleDiffBias)},
	{name: "bias", marks: []role{roleNormBias}, edits: added("bias", roleNormBias)},
	{name: "T-LoRA", marks: []role{roleSingular}, refused: "its effect depends on the step of the diffusion, so it has no merged weights"},
}
