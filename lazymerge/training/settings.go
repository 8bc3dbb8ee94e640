package training

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The names of what decides whether weights are gathered.
const (
	gatherName    = "stage3_gather_16bit_weights_on_model_save"
	gatherOld     = "stage3_gather_fp16_weights_on_model_save"
	gatherField   = "gather_16bit_weights_on_model_save" // DeepSpeed's own field
	acceleratorDS = "deepspeed_config"
)

// zero is what a file says about DeepSpeed's ZeRO.
type zero struct {
	file   string
	prefix string // of the names of its settings
	inline bool   // in accelerate's own names
	stage  setting
	gather setting
}

// setting is one setting as written.
type setting struct {
	name  string
	value any
	set   bool
}

func lookup(o object, prefix string, names ...string) setting {
	for _, name := range names {
		if v, ok := o[name]; ok && v != nil {
			return setting{prefix + name, v, true}
		}
	}
	return setting{name: prefix + names[0]}
}

func (s setting) text() string {
	switch v := s.value.(type) {
	case nil:
		return ""
	case string:
		return strconv.Quote(v)
	case object, []any:
		return "…"
	default:
		return fmt.Sprint(v)
	}
}

func (s setting) isAuto() bool {
	text, ok := s.value.(string)
	return ok && strings.EqualFold(text, "auto")
}

// isText is that a number stands in quotes.
func (s setting) isText() bool {
	_, ok := s.value.(string)
	return ok
}

// on reports whether a switch is on, in the words that DeepSpeed and accelerate take.
func (s setting) on() bool {
	switch v := s.value.(type) {
	case bool:
		return v
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "1", "yes", "on", "y", "t":
			return true
		}
		return false
	}
	n, ok := s.number()
	return ok && n == 1
}

// number gives a whole number, written as one or as a text.
func (s setting) number() (int, bool) {
	text := ""
	switch v := s.value.(type) {
	case int, int64, uint64, float64:
		text = fmt.Sprint(v)
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	default:
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != float64(int(f)) {
		return 0, false
	}
	return int(f), true
}

func child(o object, name string) object {
	c, _ := o[name].(object)
	return c
}

func word(o object, name string) string {
	s, _ := o[name].(string)
	return s
}

// isAccelerate reports whether a document is a config of accelerate.
func isAccelerate(o object) bool { return word(o, "distributed_type") != "" }

// reference gives the file of DeepSpeed settings that a document names.
func reference(o object) string {
	if isAccelerate(o) {
		if !strings.EqualFold(word(o, "distributed_type"), "DEEPSPEED") {
			return ""
		}
		name := word(child(o, acceleratorDS), "deepspeed_config_file")
		if name == "none" {
			return ""
		}
		return name
	}
	name := word(o, "deepspeed")
	if strings.ContainsAny(name, "{\x00") {
		return ""
	}
	return name
}

// zeros gives the ZeRO settings of a document: its own, those of accelerate, and those
// that a trainer's settings hold whole.
func zeros(s source) []zero {
	if isAccelerate(s.doc) {
		if z, ok := accelerateZero(s); ok {
			return []zero{z}
		}
		return nil
	}
	var all []zero
	if z, ok := deepspeedZero(s.path, "", s.doc); ok {
		all = append(all, z)
	}
	if z, ok := deepspeedZero(s.path, "deepspeed.", heldWhole(s.doc["deepspeed"])); ok {
		all = append(all, z)
	}
	return all
}

// heldWhole gives a DeepSpeed config that stands where its path may stand too.
func heldWhole(v any) object {
	switch v := v.(type) {
	case object:
		return v
	case string:
		if o, err := parseJSON([]byte(v)); err == nil {
			return o
		}
		if o, err := parseBase64(v); err == nil {
			return o
		}
	}
	return nil
}

func deepspeedZero(file, prefix string, o object) (zero, bool) {
	opt := child(o, "zero_optimization")
	if opt == nil {
		return zero{}, false
	}
	prefix += "zero_optimization."
	return zero{
		file: file, prefix: prefix,
		stage:  lookup(opt, prefix, "stage"),
		gather: lookup(opt, prefix, gatherName, gatherField, gatherOld),
	}, true
}

// accelerateZero reads the settings that accelerate config asks for. Without a stage they
// mean stage 2.
func accelerateZero(s source) (zero, bool) {
	opt := child(s.doc, acceleratorDS)
	if !strings.EqualFold(word(s.doc, "distributed_type"), "DEEPSPEED") || opt == nil || reference(s.doc) != "" {
		return zero{}, false
	}
	prefix := acceleratorDS + "."
	return zero{
		file: s.path, prefix: prefix, inline: true,
		stage:  lookup(opt, prefix, "zero_stage"),
		gather: lookup(opt, prefix, "zero3_save_16bit_model"),
	}, true
}

// fsdp is what a file says about how FSDP saves.
type fsdp struct {
	file    string
	kind    setting // of the state dict
	version setting
	final   setting // axolotl's, for what is saved at the end
	trainer bool    // the settings of a trainer, not of accelerate
	axolotl bool    // which passes them to accelerate by itself
}

// fsdpOf gives the FSDP settings of a document that turns FSDP on.
func fsdpOf(s source) (fsdp, bool) {
	const prefix = "fsdp_config."
	opt := child(s.doc, "fsdp_config")
	version := lookup(opt, prefix, "fsdp_version", "version")
	if !version.set {
		version = lookup(s.doc, "", "fsdp_version")
	}
	accelerate := isAccelerate(s.doc)
	on := turnsOn(s.doc["fsdp"]) || opt != nil && version.set // axolotl's way for FSDP2
	if accelerate {
		on = strings.EqualFold(word(s.doc, "distributed_type"), "FSDP")
	}
	if !on {
		return fsdp{}, false
	}
	return fsdp{
		file: s.path, trainer: !accelerate, version: version, axolotl: s.doc["base_model"] != nil,
		kind:  lookup(opt, prefix, "fsdp_state_dict_type", "state_dict_type"),
		final: finalType(s.doc, opt),
	}, true
}

// finalType is axolotl's setting under its name or the deprecated one.
func finalType(doc, opt object) setting {
	if s := lookup(opt, "fsdp_config.", "final_state_dict_type", "fsdp_final_state_dict_type"); s.set {
		return s
	}
	return lookup(doc, "", "fsdp_final_state_dict_type")
}

func turnsOn(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return strings.TrimSpace(v) != "" && !strings.EqualFold(v, "false")
	case []any:
		return len(v) > 0
	}
	return true
}
