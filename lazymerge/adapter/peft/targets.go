package peft

import (
	"strings"

	"lorafs/lazymerge/transform"
)

// checkTargets warns of modules that target_modules does not match: PEFT would drop
// their tensors. It is no error, since names of modules change between versions of
// transformers and patterns do not follow.
func (p *parser) checkTargets() error {
	c := p.config
	if c.TieWeights || c.TargetModules == nil && c.TargetRegexp == "" || c.TargetRegexp == "all-linear" {
		return nil
	}
	match := c.listMatch
	if c.TargetRegexp != "" {
		re, err := compileFull(c.TargetRegexp)
		if err != nil {
			p.warn(transform.TargetsUnread, "", "target_modules cannot be checked: %v", err)
			return nil
		}
		match = re.match
	}
	if !c.Chosen {
		p.recipe.Means = match
	}
	var missed []string
	for _, l := range p.layers {
		if l.stacked {
			continue
		}
		ok, err := match(l.pattern)
		if err != nil {
			p.warn(transform.TargetsUnread, "", "target_modules cannot be checked: %v", err)
			return nil
		}
		if !ok {
			missed = append(missed, l.module)
		}
	}
	if len(missed) > 0 {
		p.warn(transform.TargetsMissed, missed[0], "target_modules does not match %d of %d modules that have adapters: %s", len(missed), len(p.layers), shortList(missed))
	}
	return nil
}

// listMatch is PEFT's rule for a list of names.
func (c *Config) listMatch(module string) (bool, error) {
	for _, t := range c.TargetModules {
		if module == t || strings.HasSuffix(module, "."+t) || t == "all-linear" {
			return true, nil
		}
	}
	return false, nil
}
