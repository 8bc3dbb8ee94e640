package peft

import "lorafs/lazymerge/transform"

// waveFT reads peft_type WAVEFT: some of a delta's wavelet coefficients.
var waveFT = method{
	prefix: "waveft_",
	usual:  fourierFT.usual,
	fields: []fieldRule{
		{name: "n_frequency", use: used},
		{name: "n_frequency_pattern", use: used},
		{name: "proportional_parameters", use: used},
		{name: "random_loc_seed", use: used},
		{name: "scaling", use: used},
		{name: "use_idwt", use: used},
		{name: "wavelet_family", use: used},
	},
	leaves: []leaf{{path: "waveft_spectrum"}},
	read:   func(v *values) maker { return readWaveFT(v) },
}

type waveFTSettings struct {
	spectrum
	proportional bool // the numbers of coefficients follow the sizes of the modules
	wavelet      *transform.Wavelet
}

func readWaveFT(v *values) *waveFTSettings {
	s := &waveFTSettings{spectrum: v.spectrum(2592, bySuffix, 25), proportional: v.boolean("proportional_parameters")}
	name := "db1"
	if v.field("wavelet_family") != nil {
		name = v.text("wavelet_family")
	}
	if v.field("use_idwt") != nil && !v.boolean("use_idwt") {
		return s
	}
	w, ok := transform.FindWavelet(name)
	if !ok {
		v.refuse("wavelet_family", "PEFT has no filter for it, or one that does not fit its padding, and cannot merge it either")
	}
	s.wavelet = &w
	return s
}

func (s *waveFTSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "waveft_spectrum")
	if err != nil {
		return nil, err
	}
	if !s.proportional {
		if err := s.check(p, l, w[0]); err != nil {
			return nil, err
		}
	}
	return []transform.Edit{l.edit("weight", transform.WaveFT{
		Spectrum: w[0], Scale: s.scale, Seed: s.seed, Wavelet: s.wavelet, Class: p.class,
	})}, nil
}
