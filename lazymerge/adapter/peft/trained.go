package peft

import (
	"maps"
	"slices"
	"strings"

	"lorafs/lazymerge/transform"
)

// addTrained tells the recipe what the config has trained and what the file holds.
func (p *parser) addTrained() {
	c := p.config
	t := &transform.Trained{
		Layers: make(map[string][]string), Whole: make(map[string]string), Tied: c.tiesSaved() || c.tiesTargets(),
		Saved: p.isTrainedWhole, AllBiases: c.Bias == "all", LayerBiases: strings.HasSuffix(c.Bias, "_only"),
		Headless: p.headless,
	}
	for _, l := range p.layers {
		t.Layers[l.module] = held(l)
	}
	for _, x := range p.tokens {
		t.Layers[x.module] = append(t.Layers[x.module], x.rows.Name)
	}
	for _, f := range p.full {
		t.Whole[f.module+"."+f.param] = f.tensor.Name
	}
	if c.targets != nil || p.hasParameters() {
		t.Targets, t.Parameters = p.isTarget, p.isParameter
	}
	if c.targets != nil {
		t.Names = slices.Sorted(maps.Keys(c.targets.names))
	}
	if c.PeftType == "LN_TUNING" {
		p.addNorms(t)
	}
	for _, l := range p.leaves {
		if l.role != roleIgnored && t.Leaf == "" {
			t.Leaf = l.path
		}
	}
	p.recipe.Trained = t
}

// addNorms counts the parameters of LN_TUNING, which are the base's, as whole ones.
func (p *parser) addNorms(t *transform.Trained) {
	t.WholeLayers = true
	for _, l := range p.layers {
		for _, x := range l.tensors {
			t.Whole[l.module+"."+component(x.Name)] = x.Name
		}
	}
}

func (p *parser) hasParameters() bool {
	s, ok := p.config.own.(*loraSettings)
	return ok && len(s.Parameters) > 0
}

// isTarget tells whether the config gives a module an adapter.
func (p *parser) isTarget(module string) (bool, error) {
	if p.isTrainedWhole(module) {
		return false, nil
	}
	if s, ok := p.config.own.(*loraSettings); ok && len(s.Parameters) > 0 && p.stacks(s, module) {
		return true, nil
	}
	if p.config.targets == nil {
		return false, nil
	}
	return p.config.targets.match(module)
}

// stacks tells whether target_parameters means parameters of the module. A name without
// a module is of those that are called as one in the file.
func (p *parser) stacks(s *loraSettings, module string) bool {
	return slices.ContainsFunc(s.Parameters, func(name string) bool {
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return slices.ContainsFunc(p.layers, func(l *layer) bool { return l.stacked && component(l.module) == component(module) })
		}
		return dot > 0 && (module == name[:dot] || strings.HasSuffix(module, "."+name[:dot]))
	})
}

// isParameter tells whether target_parameters means the parameter.
func (p *parser) isParameter(module, param string) bool {
	s, ok := p.config.own.(*loraSettings)
	return ok && slices.Contains(s.parameters(module), param)
}

// isTrainedWhole tells whether modules_to_save means the module.
func (p *parser) isTrainedWhole(module string) bool {
	return slices.ContainsFunc(p.config.ModulesToSave, func(name string) bool { return name != "" && EndsIn(module, name) })
}
