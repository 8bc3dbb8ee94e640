package peft

import (
	"testing"

	"lorafs/lazymerge/transform"
)

func init() {
	moduleOf["OFT"] = sample{`"oft_block_size": 3, "peft_version": "0.21.2"`, []item{it("base_model.model.m.oft_R.weight", 2, 3)}}
}

// TestOFTBefore016: blocks and scales of their own names, no series.
func TestOFTBefore016(t *testing.T) {
	items := []item{it("base_model.model.m.oft_r", 2, 3, 3), it("base_model.model.m.oft_s", 4, 1)}
	r, err := open(t, adapterOf(t, "OFT", `"oft_block_size": 0, "r": 2, "rank_pattern": {}, "coft": true, "eps": 0.5`, items...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	o, ok := r.Edits[0].Transform.(transform.InputRotation)
	if !ok || o.Series.Terms != 0 || o.Rescale == nil || o.Constraint != 0.5 || !o.ByOutputs {
		t.Errorf("%+v", r.Edits)
	}
	for i, want := range []string{"oft_s", "oft_r"} {
		_, err := open(t, adapterOf(t, "OFT", `"oft_block_size": 0`, items[i]), Options{})
		if e := (*MissingTensorError)(nil); !as(err, &e) || e.Want != want {
			t.Errorf("without %s: %v", want, err)
		}
	}
}

// TestOFTSeries: how a series ends depends on the version.
func TestOFTSeries(t *testing.T) {
	for fields, want := range map[string]transform.Series{
		``:                              {Terms: 5, Twice: true},
		`"peft_version": "0.17.1"`:      {Terms: 5, Twice: true},
		`"peft_version": "0.18.0.dev0"`: {Terms: 5, Twice: true},
		`"peft_version": "0.18.0"`:      {Terms: 5},
		`"peft_version": "0.18"`:        {Terms: 5},
		`"peft_version": "0.18.0.dev0@0123456789abcdef"`:          {Terms: 5, Twice: true},
		`"peft_version": "0.18.1rc1"`:                             {Terms: 5},
		`"peft_version": "0.18.0.post1"`:                          {Terms: 5},
		`"peft_version": "0.21.2@UNKNOWN"`:                        {Terms: 5},
		`"peft_version": "1.2.3"`:                                 {Terms: 5},
		`"num_cayley_neumann_terms": 2`:                           {Terms: 2},
		`"peft_version": "0.20.0", "num_cayley_neumann_terms": 3`: {Terms: 3},
		`"num_cayley_neumann_terms": 0`:                           {Terms: 1},
		`"use_cayley_neumann": false`:                             {},
	} {
		if fields != "" {
			fields = ", " + fields
		}
		r, err := open(t, adapterOf(t, "OFT", `"oft_block_size": 3`+fields, moduleOf["OFT"].items...), Options{})
		if err != nil {
			t.Errorf("%s: %v", fields, err)
			continue
		}
		if o, ok := r.Edits[0].Transform.(transform.InputRotation); !ok || o.Series != want || (o.Note != "") != want.Twice {
			t.Errorf("%s: %+v", fields, r.Edits[0].Transform)
		}
	}
	for _, fields := range []string{`"oft_block_size": 3, "peft_version": "new"`, `"oft_block_size": 3, "num_cayley_neumann_terms": 10000000`, `"oft_block_size": -1`} {
		_, err := open(t, adapterOf(t, "OFT", fields, moduleOf["OFT"].items...), Options{})
		if e := (*FieldError)(nil); !as(err, &e) {
			t.Errorf("%s: %v", fields, err)
		}
	}
	_, err := open(t, adapterOf(t, "OFT", `"r": 2`, moduleOf["OFT"].items...), Options{})
	if e := (*UnsupportedError)(nil); !as(err, &e) || e.Field != "oft_block_size" {
		t.Errorf("PEFT before 0.14: %v", err)
	}
}
