package diagnose

import (
	"path/filepath"
	"strings"

	"lorafs/lazymerge/training"
)

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
		f := finding(riskCodes[r.Kind], r.File, "", r.Message(), nil)
		if key := r.Setting[strings.LastIndexByte(r.Setting, '.')+1:]; r.Kind == training.Sharded && key == "state_dict_type" {
			f.Fix = strings.Replace(f.Fix, "\tfsdp_state_dict_type:", "\t"+key+":", 1) // the key that the file has
		}
		if r.Kind == training.Unreadable && filepath.Ext(r.File) != ".json" {
			f.Fix, _, _ = strings.Cut(f.Fix, " For JSON")
		}
		found = append(found, f)
	}
	return found
}
