package recovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/checkpoint"
)

// chosen is a tensor of the adapter under the name that PEFT saves it by.
type chosen struct {
	key    peft.TrainingKey
	tensor *checkpoint.Tensor
}

// selection is what belongs to one adapter of a checkpoint.
type selection struct {
	path    string
	adapter string // its name in the model, "" where the keys have none
	tensors []chosen
	left    []string // trained, but not of what PEFT saves
	all     []*checkpoint.Tensor
}

// adapterNames lists the names of adapters in the keys of a state dict, and the types
// whose tensors it has, both sorted. Keys that PEFT has saved have no names.
func adapterNames(tensors []*checkpoint.Tensor) (names, types []string) {
	byName, byType := make(map[string]bool), make(map[string]bool)
	for kind, prefix := range peft.Prefixes() {
		for _, t := range tensors {
			if !strings.Contains(t.Name, prefix) {
				continue
			}
			k, err := peft.ParseTrainingKey(kind, t.Name)
			if err != nil || k.Part != peft.PartOwn && k.Part != peft.PartSaved {
				continue
			}
			if k.Part == peft.PartOwn {
				byType[kind] = true
			}
			if k.Adapter != "" {
				byName[k.Adapter] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(byName)), slices.Sorted(maps.Keys(byType))
}

// chooseAdapter settles which adapter is meant. Error: *ChoiceError.
func chooseAdapter(path, asked string, names []string) (string, error) {
	switch {
	case asked != "" && slices.Contains(names, asked):
		return asked, nil
	case asked != "" && len(names) > 0:
		return "", &ChoiceError{Path: path, Asked: asked, Names: names}
	case len(names) > 1:
		return "", &ChoiceError{Path: path, Names: names}
	case len(names) == 1:
		return names[0], nil
	}
	return "", nil
}

// choose takes the adapter's tensors, as PEFT does when it saves one
// (peft utils/save_and_load.py, get_peft_model_state_dict @0.21.2). Errors:
// *NoAdapterError, *peft.DuplicateTensorError, *peft.UnsupportedError.
func choose(c *checkpoint.Checkpoint, peftType string, config *peft.Config, adapter string) (*selection, error) {
	s := &selection{path: c.Path, adapter: adapter, all: c.Tensors}
	keys := make([]peft.TrainingKey, len(c.Tensors))
	tuned := make(map[string]bool) // modules with an adapter
	roots := make(map[string]bool) // models with an adapter
	for i, t := range c.Tensors {
		k, err := peft.ParseTrainingKey(peftType, t.Name)
		if err != nil {
			return nil, err
		}
		keys[i] = k
		if k.Part == peft.PartOwn && k.Adapter == adapter {
			tuned[k.Module] = true
			roots[k.Root] = true
		}
	}
	if len(roots) > 1 {
		return nil, &NoAdapterError{Path: c.Path, Type: peftType, Reason: fmt.Sprintf("it holds those of several models (%q)", slices.Sorted(maps.Keys(roots)))}
	}
	bias := "none"
	if config != nil {
		bias = config.Bias
	}
	for i, t := range c.Tensors {
		if roots[keys[i].Root] && s.belongs(keys[i], t, config, bias, tuned) {
			s.tensors = append(s.tensors, chosen{keys[i], t})
		} else if t.Trained && t.Alias == "" && keys[i].Part != peft.PartOwn && keys[i].Part != peft.PartSaved {
			s.left = append(s.left, t.Name)
		}
	}
	if len(tuned) == 0 {
		return nil, noneNamed(c, peftType)
	}
	return s, s.check(peftType)
}

// noneNamed is the error of a checkpoint without a tensor that is named as an adapter's.
func noneNamed(c *checkpoint.Checkpoint, peftType string) error {
	e := &NoAdapterError{Path: c.Path, Type: peftType, Reason: fmt.Sprintf("none of its %d tensors is named as of one", len(c.Tensors))}
	if len(c.Tensors) == 0 {
		e.Reason, e.Empty = "it holds no tensors", true
	}
	return e
}

func (s *selection) belongs(k peft.TrainingKey, t *checkpoint.Tensor, config *peft.Config, bias string, tuned map[string]bool) bool {
	switch k.Part {
	case peft.PartCopy:
		return false
	case peft.PartOwn:
		return k.Adapter == s.adapter && !s.follows(k, t, config)
	case peft.PartSaved:
		return k.Adapter == s.adapter
	case peft.PartBias:
		if bias == "all" {
			return true
		}
		if module, ok := strings.CutSuffix(k.Module, ".base_layer"); ok && strings.HasSuffix(bias, "_only") && tuned[module] {
			return true
		}
	}
	// What PEFT has saved holds whole parameters under their own names.
	return s.adapter == "" && (config == nil || savedWhole(k.Module, config))
}

// follows tells whether trained tokens are those of another module that a tied one
// shows again; PEFT saves them once.
func (s *selection) follows(k peft.TrainingKey, t *checkpoint.Tensor, config *peft.Config) bool {
	if !strings.Contains(k.Saved, "trainable_tokens_delta") {
		return false
	}
	if t.Alias != "" || config == nil {
		return t.Alias != ""
	}
	module := strings.TrimSuffix(k.Module, ".token_adapter")
	for _, x := range config.TokenIndices {
		if module == x.Module || strings.HasSuffix(module, "."+x.Module) {
			return false
		}
	}
	return len(config.TokenIndices) > 0
}

func savedWhole(module string, config *peft.Config) bool {
	for _, name := range config.ModulesToSave {
		if peft.EndsIn(module, name) {
			return true
		}
	}
	_, last, _ := cutLast(strings.TrimSuffix(module, ".base_layer"))
	return slices.Contains(peft.Vocabularies, last)
}

// check looks for names that two tensors would get, and for values that are missing.
func (s *selection) check(peftType string) error {
	seen := make(map[string]string)
	empty := 0
	for _, c := range s.tensors {
		if first, twice := seen[c.key.Saved]; twice {
			return &peft.DuplicateTensorError{File: s.path, Tensors: [2]string{first, c.tensor.Name}}
		}
		seen[c.key.Saved] = c.tensor.Name
		if c.tensor.Elements() == 0 {
			empty++
		}
	}
	if empty == len(s.tensors) {
		return &NoAdapterError{Path: s.path, Type: peftType, Reason: fmt.Sprintf("its %d tensors have no elements, as placeholders of values that were not gathered", empty), Empty: true}
	}
	slices.SortFunc(s.tensors, func(a, b chosen) int { return strings.Compare(a.key.Saved, b.key.Saved) })
	return nil
}

// cutLast splits a module's name before its last part.
func cutLast(name string) (before, last string, found bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", name, false
	}
	return name[:i], name[i+1:], true
}
