package peft

// typeRule says what is done with a PeftType.
type typeRule struct {
	name   string
	parse  func(*parser) error // nil when the type is refused
	reason string              // why it is refused
	never  bool                // it cannot be merged by any version
}

const (
	later  = "this type can be merged, but not by this version"
	prompt = "it adds virtual tokens to the input and changes no weights"
	routed = "its effect depends on the input, so it has no merged weights"
)

// types is the table of PEFT's types, sorted by name. testdata/peft_types.txt is the
// list of PEFT 0.21.2; BONE is a type that PEFT removed.
var types = []typeRule{
	{name: "ADALORA", reason: later},
	{name: "ADAMSS", reason: "it needs a clustering and a randomised decomposition that only its training code repeats", never: true},
	{name: "ADAPTION_PROMPT", reason: prompt, never: true},
	{name: "BEFT", reason: later},
	{name: "BOFT", reason: later},
	{name: "BONE", reason: later},
	{name: "C3A", reason: later},
	{name: "CARTRIDGE", reason: prompt, never: true},
	{name: "CPT", reason: prompt, never: true},
	{name: "DEFT", reason: later},
	{name: "DELORA", reason: later},
	{name: "FOURIERFT", reason: later},
	{name: "FROD", reason: later},
	{name: "GLORA", reason: later},
	{name: "GRALORA", reason: later},
	{name: "HIRA", reason: later},
	{name: "HRA", reason: later},
	{name: "IA3", reason: later},
	{name: "LILY", reason: routed, never: true},
	{name: "LN_TUNING", reason: later},
	{name: "LOHA", reason: later},
	{name: "LOKR", reason: later},
	{name: "LORA", parse: (*parser).lora},
	{name: "MISS", reason: later},
	{name: "MULTITASK_PROMPT_TUNING", reason: prompt, never: true},
	{name: "OFT", reason: later},
	{name: "OSF", reason: later},
	{name: "PEANUT", reason: later},
	{name: "POLY", reason: routed, never: true},
	{name: "PREFIX_TUNING", reason: "it adds keys and values to the attention cache and changes no weights", never: true},
	{name: "PROMPT_TUNING", reason: prompt, never: true},
	{name: "PSOFT", reason: "it is defined by a decomposition of the base whose signs differ between machines", never: true},
	{name: "PVERA", reason: later},
	{name: "P_TUNING", reason: prompt, never: true},
	{name: "RANDLORA", reason: later},
	{name: "ROAD", reason: later},
	{name: "SHADOW", reason: "it runs a second network beside the model and changes no weights", never: true},
	{name: "SHIRA", reason: later},
	{name: "SUPERTUNING", reason: later},
	{name: "TINYLORA", reason: later},
	{name: "TRAINABLE_TOKENS", reason: later},
	{name: "UNILORA", reason: later},
	{name: "VBLORA", reason: later},
	{name: "VERA", reason: later},
	{name: "WAVEFT", reason: later},
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
		if t.parse != nil {
			names = append(names, t.name)
		}
	}
	return names
}
