package single

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"lorafs/lazymerge/transform"
)

// optional are tensors that a module need not have, but has where its like in another
// block has.
var optional = []role{roleAlpha, roleMagnitude, rolePEFTMagnitude, roleRescale}

var digits = regexp.MustCompile(`\d+`)

// like is what modules have in common that are the same but for their numbers.
func (l *layer) like() string { return digits.ReplaceAllString(l.name(), "#") }

// twin is what modules have in common that are the same in other blocks: attn1 and attn2
// are two modules of one block, and may differ in what parameters they have.
func (l *layer) twin() string {
	parts := strings.FieldsFunc(l.name(), func(r rune) bool { return r == '.' || r == '_' })
	for i, p := range parts {
		if _, err := strconv.Atoi(p); err == nil {
			parts[i] = "#"
		}
	}
	return strings.Join(parts, ".")
}

// companions are tensors of a second parameter, or of the only one.
var companions = []role{roleUpBias, roleDiff, roleDiffBias, roleNorm, roleNormBias}

// checkLikes refuses a module that lacks an optional tensor which the others of its kind
// have: it would be merged at another scale, or without its magnitude, or its bias would
// stay the base's. Errors: *peft.MissingTensorError.
func (p *parser) checkLikes() error {
	if err := p.checkRoles(optional, func(l *layer) string { return l.marks() + " " + l.like() }, false); err != nil {
		return err
	}
	return p.checkRoles(companions, func(l *layer) string { return l.main() + " " + l.twin() }, true)
}

// checkRoles compares the modules that kind says are alike. most: only where no more lack
// the tensor than have it, since programs that extract an adapter leave small ones out.
func (p *parser) checkRoles(roles []role, kind func(*layer) string, most bool) error {
	likes := make([]string, len(p.layers))
	for i, l := range p.layers {
		likes[i] = kind(l)
	}
	for _, r := range roles {
		have, lack := make(map[string][]string), make(map[string]int) // names of tensors; modules
		for i, l := range p.layers {
			if t := l.tensors[r]; t != nil {
				have[likes[i]] = append(have[likes[i]], t.Name)
			} else {
				lack[likes[i]]++
			}
		}
		for i, l := range p.layers {
			like := likes[i]
			if l.has(r) || len(have[like]) == 0 || most && lack[like] > len(have[like]) {
				continue
			}
			err := p.missing(l, r)
			err.Like = have[like][0]
			if !p.opt.AllowMissing {
				return err
			}
			p.warn(transform.ModulesLost, l.name(), "taken as it is: %v", err)
		}
	}
	return nil
}

// main names what a module has beside companions, and the spelling of these.
func (l *layer) main() string {
	var names []string
	for _, a := range algorithms {
		if !slices.ContainsFunc(a.marks, func(r role) bool { return slices.Contains(companions, r) }) && slices.ContainsFunc(a.marks, l.has) {
			names = append(names, a.name)
		}
	}
	if l.has(roleNorm) || l.has(roleNormBias) {
		names = append(names, "norm")
	}
	return strings.Join(names, "+")
}

// marks name the algorithms of a module.
func (l *layer) marks() string {
	var names []string
	for _, a := range algorithms {
		if slices.ContainsFunc(a.marks, l.has) {
			names = append(names, a.name)
		}
	}
	return strings.Join(names, "+")
}
