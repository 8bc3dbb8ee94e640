package single

import (
	"regexp"
	"strings"

	"lorafs/lazymerge/transform"
)

// optional are tensors that a module need not have, but has where its like in another
// block has.
var optional = []role{roleAlpha, roleMagnitude, rolePEFTMagnitude, roleRescale}

var digits = regexp.MustCompile(`\d+`)

// like is what modules have in common that are the same but for their numbers.
func (l *layer) like(a string) string { return a + " " + digits.ReplaceAllString(l.name(), "#") }

// checkLikes refuses a module that lacks an optional tensor which the others of its kind
// have: it would be merged at another scale, or without its magnitude. Errors:
// *peft.MissingTensorError.
func (p *parser) checkLikes() error {
	for _, r := range optional {
		holder := make(map[string]*layer)
		for _, l := range p.layers {
			if l.has(r) {
				holder[l.like(l.marks())] = l
			}
		}
		for _, l := range p.layers {
			other := holder[l.like(l.marks())]
			if other == nil || l.has(r) {
				continue
			}
			err := p.missing(l, r)
			if !p.opt.AllowMissing {
				return err
			}
			p.warn(transform.ModulesLost, l.name(), "taken as it is: %v", err)
		}
	}
	return nil
}

// marks name the algorithms of a module.
func (l *layer) marks() string {
	var names []string
	for _, a := range algorithms {
		for _, r := range a.marks {
			if l.has(r) {
				names = append(names, a.name)
				break
			}
		}
	}
	return strings.Join(names, "+")
}
