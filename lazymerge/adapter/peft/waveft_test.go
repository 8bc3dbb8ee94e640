package peft

import "testing"

func init() {
	moduleOf["WAVEFT"] = sample{`"n_frequency": 5`, []item{it("base_model.model.m.waveft_spectrum", 5)}}
}

func TestWavelets(t *testing.T) {
	for fields, ok := range map[string]bool{
		`"wavelet_family": "sym10"`: true, `"wavelet_family": null`: true, `"wavelet_family": "coif5"`: false,
		`"wavelet_family": "haar"`: false, `"wavelet_family": "DB2"`: false, `"wavelet_family": "coif5", "use_idwt": false`: true,
	} {
		_, err := readText(`{"peft_type": "WAVEFT", ` + fields + `}`)
		u := (*UnsupportedError)(nil)
		if ok && err != nil || !ok && (!as(err, &u) || u.Field != "wavelet_family") {
			t.Errorf("%s: %v", fields, err)
		}
	}
}
