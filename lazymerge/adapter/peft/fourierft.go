package peft

import "lorafs/lazymerge/transform"

// fourierFT reads peft_type FOURIERFT: some values of a delta's spectrum.
var fourierFT = method{
	prefix: "fourierft_",
	usual: []string{"bias", "exclude_modules", "fan_in_fan_out", "init_weights", "layers_pattern", "layers_to_transform",
		"modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "n_frequency", use: used},
		{name: "n_frequency_pattern", use: used},
		{name: "random_loc_seed", use: used},
		{name: "scaling", use: used},
	},
	leaves: []leaf{{path: "fourierft_spectrum"}},
	read:   func(v *values) maker { return &fourierFTSettings{v.spectrum(1000, byDot, 150)} },
}

type fourierFTSettings struct{ spectrum }

func (s *fourierFTSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "fourierft_spectrum")
	if err != nil {
		return nil, err
	}
	if err := s.check(p, l, w[0]); err != nil {
		return nil, err
	}
	return []transform.Edit{l.edit("weight", transform.FourierFT{
		Spectrum: w[0], Scale: s.scale, Seed: s.seed, Class: p.class,
	})}, nil
}
