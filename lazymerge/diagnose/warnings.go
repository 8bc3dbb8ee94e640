package diagnose

import (
	"cmp"

	"lorafs/lazymerge/transform"
)

// concernCodes are the codes of warnings. Some are of findings that break an adapter
// unless a flag allows them.
var concernCodes = map[transform.Concern]string{
	transform.Untrained:      "adapter-untrained",
	transform.UntrainedPart:  "modules-untrained",
	transform.NonFinite:      "tensor-nonfinite",
	transform.Unused:         "tensor-unknown",
	transform.Unmatched:      "tensor-unmatched",
	transform.TargetsUnread:  "targets-unreadable",
	transform.TargetsMissed:  "targets-missed",
	transform.WholeUnlisted:  "parameters-unlisted",
	transform.SavedAbsent:    "saved-module-absent",
	transform.ModulesLost:    "modules-lost",
	transform.VocabularyPart: "vocabulary-part",
	transform.NameLeft:       "names-with-adapter",
	transform.NamesWrapped:   "names-foreign",
	transform.ExpertsGuess:   "experts-order",
	transform.AlphaAbsent:    "alpha-absent",
	transform.AlphaZero:      "alpha-zero",
	transform.MagnitudePart:  "magnitude-absent",
	transform.ScaleGuess:     "scale-unknown",
	transform.PartGuess:      "part-unnamed",
	transform.DeltaReplaced:  "stack-replaced",
	transform.TokenizerKept:  "stack-tokenizers",
	transform.TieKept:        "tie-kept",
	transform.BaseNonFinite:  "base-nonfinite",
}

// Warnings gives the findings of an adapter's warnings. file is its weights file, for
// those that name none.
func Warnings(file string, warnings []transform.Warning) []Finding {
	var found []Finding
	for _, w := range warnings {
		f := finding(concernCodes[w.Concern], cmp.Or(w.File, file), w.Tensor, w.Text, nil)
		f.Severity = Warning
		found = append(found, f)
	}
	return found
}
