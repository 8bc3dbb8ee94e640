package peft

import (
	"slices"
	"strings"
)

// Part says what a tensor of a model in training is to its adapter.
type Part uint8

const (
	PartBase  Part = iota // the base's own
	PartOwn               // of the adapter's type
	PartSaved             // of a module of modules_to_save
	PartBias              // a bias of the base, which some settings train
	PartCopy              // the untrained twin of a module of modules_to_save
)

// TrainingKey is a name in the state dict of a model in training, taken apart.
type TrainingKey struct {
	Part    Part
	Saved   string // what PEFT calls the tensor when it saves the adapter
	Adapter string // its adapter's name in the model, "" where the key has none
	Module  string // of the base's model, as PEFT names it
	Root    string // what is in front of PEFT's model: "model" in a checkpoint of Lightning
}

const modelPrefix = "base_model.model"

// ParseTrainingKey takes a name apart for an adapter of a type. Training wrappers
// (torch.compile, FSDP, DeepSpeed, activation checkpoints) are dropped, as PEFT drops
// the adapter's name (peft tuners_utils.py, _remove_adapter_name_from_key @0.21.2).
// Errors: *UnsupportedError for a type that is not read.
func ParseTrainingKey(peftType, key string) (TrainingKey, error) {
	t, err := findMethod("", peftType)
	if err != nil {
		return TrainingKey{}, err
	}
	root, parts := cutRoot(unwrap(strings.Split(key, ".")))
	parts = stripWrappers(parts)
	k, ok := t.ownKey(parts)
	if !ok {
		k = wholeKey(parts)
	}
	k.Root = join(root)
	return k, nil
}

// cutRoot splits a name before PEFT's model.
func cutRoot(parts []string) (root, rest []string) {
	for i := 0; i+2 < len(parts); i++ {
		if parts[i] == "base_model" && parts[i+1] == "model" {
			return parts[:i], parts[i:]
		}
	}
	return nil, parts
}

// unwrap drops what training puts around modules.
func unwrap(parts []string) []string {
	parts = slices.DeleteFunc(slices.Clone(parts), func(p string) bool {
		return p == "_orig_mod" || p == "_fsdp_wrapped_module" || p == "_checkpoint_wrapped_module"
	})
	for len(parts) > 1 && parts[0] == "module" {
		parts = parts[1:]
	}
	return parts
}

// ownKey reads a tensor of the type's own, or of trained tokens.
func (m *method) ownKey(parts []string) (TrainingKey, bool) {
	for _, l := range m.shared {
		if above, adapter, _, ok := l.cut(parts); ok && len(above) == 1 && above[0] == "base_model" {
			if adapter != "" && strings.HasSuffix(l.path, ".*") {
				adapter = parts[len(parts)-1] // FRoD's tables have it behind the kind of module
			}
			return TrainingKey{Part: PartOwn, Saved: l.saved(above, adapter, parts), Adapter: adapter}, true
		}
	}
	for _, leaves := range [][]leaf{m.leaves, tokenLeaves} {
		for _, l := range leaves {
			module, adapter, _, ok := l.cut(parts)
			if !ok {
				continue
			}
			if l.tree && len(parts) > len(module)+2 {
				adapter = parts[len(module)+1]
			}
			above := append(strings.Split(modelPrefix, "."), module...)
			return TrainingKey{Part: PartOwn, Saved: l.saved(above, adapter, parts[len(module):]), Adapter: adapter, Module: join(module)}, true
		}
	}
	return TrainingKey{}, false
}

// saved is PEFT's name for a tensor below a module: tail without the adapter's name.
func (l leaf) saved(above []string, adapter string, tail []string) string {
	if at := slices.Index(tail, adapter); adapter != "" && at > 0 {
		tail = append(tail[:at:at], tail[at+1:]...)
	}
	if len(above) == 1 { // shared tensors: tail begins with what is above
		return join(tail)
	}
	name := join(append(above, tail...))
	if l.path == "lora_magnitude_vector.weight" {
		// DoRA's vector became a layer, and the files stayed as they were (lora/model.py:1115).
		name = strings.TrimSuffix(name, ".weight")
	}
	return name
}

// wholeKey reads the name of a parameter of the base's model.
func wholeKey(parts []string) TrainingKey {
	name := func(p []string) string { return modelPrefix + "." + join(p) }
	if at := slices.Index(parts, "modules_to_save"); at > 0 && at+2 < len(parts) {
		rest := append(parts[:at:at], parts[at+2:]...)
		return TrainingKey{Part: PartSaved, Saved: name(rest), Adapter: parts[at+1], Module: join(parts[:at])}
	}
	k := TrainingKey{Saved: name(parts), Module: join(parts[:len(parts)-1])}
	switch {
	case slices.Contains(parts, "original_module"):
		k.Part = PartCopy
	case parts[len(parts)-1] == "bias":
		k.Part = PartBias
	}
	return k
}

// Prefixes are the beginnings of the names of the types' own tensors, by type.
func Prefixes() map[string]string {
	found := make(map[string]string)
	for _, t := range types {
		if t.method != nil && t.prefix != "" {
			found[t.name] = t.prefix
		}
	}
	return found
}
