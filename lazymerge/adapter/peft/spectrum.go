package peft

import "lorafs/safetensors"

// spectrum is the settings of the types whose file holds values for places in the
// weight that a seed draws.
type spectrum struct {
	length *byModule[int64]
	scale  float64
	seed   int64
}

func (v *values) spectrum(length int64, how matching, scale float64) spectrum {
	s := spectrum{scale: scale, seed: 777, length: v.rankByModule("n_frequency", "n_frequency_pattern", length, how)}
	if raw, ok := v.obj.get("scaling"); ok {
		s.scale = v.number("scaling", raw)
	}
	if raw, ok := v.obj.get("random_loc_seed"); ok {
		s.seed = v.integer("random_loc_seed", raw)
	}
	return s
}

// check holds the number of values against the config. Errors: *RankError, *FieldError.
func (s *spectrum) check(p *parser, l *layer, t *safetensors.Tensor) error {
	n, field, err := s.length.of(l.pattern)
	if err != nil {
		return err
	}
	return p.checkRank(l, t, 0, n, field)
}
