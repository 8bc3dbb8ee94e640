package peft

import (
	"strings"

	"lorafs/lazymerge/transform"
)

// ia3 reads peft_type IA3: a factor for each output of a module, or for each input of
// a feed-forward module.
var ia3 = method{
	prefix: "ia3_",
	usual:  []string{"exclude_modules", "fan_in_fan_out", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "feedforward_modules", use: used},
		{name: "init_ia3_weights", use: ignored, reason: "the file holds the values after training"},
	},
	leaves: []leaf{{path: "ia3_l"}},
	read:   func(v *values) maker { return readIA3(v) },
}

type ia3Settings struct {
	feedForward []string
	regexp      *pattern // in place of names
}

func readIA3(v *values) *ia3Settings {
	names, text := v.namesOrText("feedforward_modules")
	s := &ia3Settings{feedForward: names}
	if text != "" {
		s.regexp = v.fullPattern("feedforward_modules", text)
	}
	return s
}

func (s *ia3Settings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	found, err := p.need(l, "ia3_l")
	if err != nil {
		return nil, err
	}
	inputs, err := s.isFeedForward(p, l)
	if err != nil {
		return nil, err
	}
	scaling := transform.Scaling{By: found[0], Inputs: inputs}
	edits := []transform.Edit{l.edit("weight", scaling)}
	if !inputs {
		bias := l.edit("bias", scaling)
		bias.Optional = true
		edits = append(edits, bias)
	}
	return edits, nil
}

// isFeedForward is PEFT's rule, without regard to dots, and without one when the model
// type decided (peft tuners/ia3/model.py:184 @0.21.2).
func (s *ia3Settings) isFeedForward(p *parser, l *layer) (bool, error) {
	if s.regexp != nil {
		ok, err := s.regexp.match(l.pattern)
		if err != nil {
			return false, p.fieldError("feedforward_modules", err)
		}
		return ok, nil
	}
	for _, name := range s.feedForward {
		if strings.HasSuffix(l.pattern, name) {
			return true, nil
		}
	}
	return false, nil
}
