package peft

import "lorafs/lazymerge/transform"

// typeRule says what is done with a PeftType.
type typeRule struct {
	name    string
	*method                 // nil when the type is refused
	class   transform.Class // how PEFT rounds
	reads   Reads           // what a merged row costs
	reason  string          // why it is refused
	never   bool            // it cannot be merged by any version
}

// method is how the adapters of a type are read. Each has a file of its own.
type method struct {
	prefix string      // of the type's tensors, as PEFT has it
	usual  []string    // its config fields that mean what they mean in every type
	fields []fieldRule // its other config fields, sorted by name
	past   []fieldRule // fields that earlier versions of PEFT wrote
	leaves []leaf      // its tensors in a module
	shared []leaf      // its tensors that all modules share, below "base_model"
	empty  bool        // tensors of rank 0 may occur
	// read takes the settings from the config; v keeps the first error.
	read func(v *values) maker
}

// maker is what the config of a type says about its modules.
type maker interface {
	// edits makes those of a module. Every tensor of l has to be in the Keys of one, and
	// a module of which none changes anything counts as untrained. Errors:
	// *MissingTensorError, *DuplicateTensorError, *FieldError, *RankError, *ModuleError.
	edits(p *parser, l *layer) ([]transform.Edit, error)
}

// spreader is a maker of which an adapter may have nothing in its file but what all
// modules share.
type spreader interface {
	everywhere(p *parser) (*transform.Everywhere, error)
}

// Reads is what has to be read and computed for a row of a merged tensor.
type Reads string

// What a row costs, beside the adapter's own tensors.
const (
	Row   Reads = "row"   // that row of the base
	Group Reads = "group" // some rows beside it
	Pass  Reads = "pass"  // the whole tensor, once, cheaply
	Whole Reads = "whole" // the whole tensor, once, at a cost beyond reading it
)

const (
	prompt = "it adds virtual tokens to the input and changes no weights"
	routed = "its effect depends on the input, so it has no merged weights"
)

// types is the table of PEFT's types, sorted by name. testdata/peft_types.txt is the
// list of PEFT 0.21.2; BONE is a type that PEFT removed.
var types = []typeRule{
	{name: "ADALORA", method: &adalora, class: transform.Single, reads: Row},
	{name: "ADAMSS", reason: "it needs a clustering and a randomised decomposition that only its training code repeats", never: true},
	{name: "ADAPTION_PROMPT", reason: prompt, never: true},
	{name: "BEFT", method: &beft, class: transform.Single, reads: Row},
	{name: "BOFT", method: &boft, class: transform.Single, reads: Row},
	{name: "BONE", method: &bone, class: transform.Single, reads: Row},
	{name: "C3A", method: &c3a, class: transform.Double, reads: Row},
	{name: "CARTRIDGE", reason: prompt, never: true},
	{name: "CPT", reason: prompt, never: true},
	{name: "DEFT", method: &deft, class: transform.Double, reads: Pass},
	{name: "DELORA", method: &delora, class: transform.Double, reads: Row},
	{name: "FOURIERFT", method: &fourierFT, class: transform.Single, reads: Whole},
	{name: "FROD", method: &frod, class: transform.Steps, reads: Whole},
	{name: "GLORA", method: &glora, class: transform.Steps, reads: Row},
	{name: "GRALORA", method: &gralora, class: transform.Single, reads: Row},
	{name: "HIRA", method: &hira, class: transform.Steps, reads: Row},
	{name: "HRA", method: &hra, class: transform.Single, reads: Row},
	{name: "IA3", method: &ia3, class: transform.Single, reads: Row},
	{name: "LILY", reason: routed, never: true},
	{name: "LN_TUNING", method: &lnTuning, class: transform.Copied, reads: Row},
	{name: "LOHA", method: &loha, class: transform.Single, reads: Row},
	{name: "LOKR", method: &lokr, class: transform.Single, reads: Row},
	{name: "LORA", method: &lora, class: transform.SingleDouble, reads: Row},
	{name: "MISS", method: &miss, class: transform.Single, reads: Row},
	{name: "MULTITASK_PROMPT_TUNING", reason: prompt, never: true},
	{name: "OFT", method: &oft, class: transform.Single, reads: Row},
	{name: "OSF", method: &osf, class: transform.Single, reads: Whole},
	{name: "PEANUT", method: &peanut, class: transform.Double, reads: Pass},
	{name: "POLY", reason: routed, never: true},
	{name: "PREFIX_TUNING", reason: "it adds keys and values to the attention cache and changes no weights", never: true},
	{name: "PROMPT_TUNING", reason: prompt, never: true},
	{name: "PSOFT", reason: "it is defined by a decomposition of the base whose signs differ between machines", never: true},
	{name: "PVERA", method: &pvera, class: transform.Single, reads: Row},
	{name: "P_TUNING", reason: prompt, never: true},
	{name: "RANDLORA", method: &randlora, class: transform.DoubleSingle, reads: Row},
	{name: "ROAD", method: &road, class: transform.Steps, reads: Group},
	{name: "SHADOW", reason: "it runs a second network beside the model and changes no weights", never: true},
	{name: "SHIRA", method: &shira, class: transform.Single, reads: Row},
	{name: "SUPERTUNING", method: &supertuning, class: transform.Double, reads: Row},
	{name: "TINYLORA", method: &tinylora, class: transform.Single, reads: Row},
	{name: "TRAINABLE_TOKENS", method: &trainableTokens, class: transform.Copied, reads: Row},
	{name: "UNILORA", method: &unilora, class: transform.Single, reads: Row},
	{name: "VBLORA", method: &vblora, class: transform.Single, reads: Row},
	{name: "VERA", method: &vera, class: transform.Single, reads: Row},
	{name: "WAVEFT", method: &waveFT, class: transform.Single, reads: Group},
	{name: "XLORA", reason: routed, never: true},
}

func findType(name string) (typeRule, bool) {
	for _, t := range types {
		if t.name == name {
			return t, true
		}
	}
	return typeRule{}, false
}

// Types lists PEFT's types that Open reads.
func Types() []string {
	var names []string
	for _, t := range types {
		if t.method != nil {
			names = append(names, t.name)
		}
	}
	return names
}

// findMethod is the row of a type that is read. Errors: *UnsupportedError.
func findMethod(path, name string) (typeRule, error) {
	t, ok := findType(name)
	switch {
	case !ok:
		return t, &UnsupportedError{Path: path, Type: name, Reason: "PEFT has no such type"}
	case t.method == nil:
		return t, &UnsupportedError{Path: path, Type: name, Reason: t.reason, Never: t.never}
	}
	return t, nil
}
