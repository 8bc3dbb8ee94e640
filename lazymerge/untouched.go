package lazymerge

import (
	"fmt"
	"strconv"
	"strings"

	"lorafs/lazymerge/transform"
)

// warnUntouched warns of modules of which the weights hold nothing, though the config
// means them and they are trained in other layers: a file that lost a tensor. It is no
// error, since a checkpoint may hold layers that the model in memory has not (those
// that predict further tokens, keys and values that layers share).
func (p *planner) warnUntouched() {
	if p.recipe.Means == nil {
		return
	}
	trained := make(map[string]bool)
	for _, o := range p.outputs {
		if o.edited() {
			trained[anyLayer(o.name)] = true
		}
	}
	var lost []string
	for _, o := range p.outputs {
		module, ok := strings.CutSuffix(o.name, ".weight")
		if !ok || o.edited() || !trained[anyLayer(o.name)] {
			continue
		}
		if meant, err := p.recipe.Means(module); err == nil && meant {
			lost = append(lost, module)
		}
	}
	if len(lost) == 0 {
		return
	}
	const most = 3
	names := strings.Join(lost[:min(most, len(lost))], ", ")
	if len(lost) > most {
		names += fmt.Sprintf(" and %d more", len(lost)-most)
	}
	p.warnings = append(p.warnings, transform.Warnf(transform.ModulesLost, lost[0], "the weights hold nothing for %d modules that target_modules means and that are trained in other layers: %s", len(lost), names))
}

// anyLayer is a tensor's name without its numbers.
func anyLayer(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if _, err := strconv.Atoi(part); err == nil {
			parts[i] = "#"
		}
	}
	return strings.Join(parts, ".")
}
