package diagnose

import "lorafs/lazymerge/training"

var riskCodes = map[training.Kind]string{
	training.Auto:       "training-setting-auto",
	training.Conflict:   "training-settings-conflict",
	training.OldName:    "training-setting-renamed",
	training.OldWriter:  "training-safetensors-old",
	training.Sharded:    "training-fsdp-sharded",
	training.StageText:  "training-stage-text",
	training.Ungathered: "training-zero3-ungathered",
	training.Unreadable: "training-settings-unreadable",
}

// Risks turns what is wrong with the settings of a training run into findings, all of
// them warnings.
func Risks(risks []training.Risk) []Finding {
	var found []Finding
	for _, r := range risks {
		found = append(found, finding(riskCodes[r.Kind], r.File, "", r.Message(), nil))
	}
	return found
}
