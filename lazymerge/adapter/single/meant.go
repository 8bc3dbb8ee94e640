package single

import (
	"regexp"
	"slices"
	"strings"

	"lorafs/safetensors"
)

// LooksLikeAdapter tells by the names of its tensors whether a file is meant to be an
// adapter; the others are models.
func LooksLikeAdapter(h *safetensors.Header) bool {
	var names []string
	for _, e := range h.Entries {
		names = append(names, e.Name)
	}
	return len(names) == 0 || ofAdapter(names)
}

// ofAdapter tells whether names are those of an adapter, of whatever program. One name
// that no model has is enough. Names that models have as well (the alpha of an activation,
// an adapter between two of their parts) make an adapter where they are most of all.
func ofAdapter(names []string) bool {
	n := 0
	for _, name := range names {
		at, r, ok := parseKey(name)
		switch {
		case ok && (at.flat || slices.Contains(unmistakable, r)), hasPart(name, adapterParameter):
			return true
		case ok && r != roleIA3, hasPart(name, adapterWord):
			n++
		}
	}
	return 2*n > len(names)
}

// unmistakable are the roles whose names only adapters have.
var unmistakable = []role{
	roleDown, roleUp, roleMid, roleUpBias, roleMagnitude, rolePEFTMagnitude, roleOnInput, roleBlocks,
	roleHada1A, roleHada1B, roleHada2A, roleHada2B, roleHadaT1, roleHadaT2,
	roleKron1, roleKron1A, roleKron1B, roleKron2, roleKron2A, roleKron2B, roleKronT2,
}

var (
	// adapterParameter is a part of a name that is an adapter's parameter, or that of a
	// module in one: lora_A, ia3_l, lora_unet_mid_block.
	adapterParameter = regexp.MustCompile(`^(?:(?:vb|rand|uni|tiny|de|g(?:ra)?|supertuning_)?lora|lokr|hada|b?oft|ia3)_`)
	// adapterWord is a part of a name with an adapter in it: w_lora, ip_adapter; but not
	// soft_gate.
	adapterWord = regexp.MustCompile(`(?:^|_)(?:lora|loha|lokr|hada|oft|ia3|adapters?)\d*(?:_|$)`)
)

func hasPart(name string, like *regexp.Regexp) bool {
	return slices.ContainsFunc(strings.Split(strings.ToLower(name), "."), like.MatchString)
}
