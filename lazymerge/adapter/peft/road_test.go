package peft

import "testing"

func init() {
	moduleOf["ROAD"] = sample{`"group_size": 4`, []item{it("base_model.model.m.road_theta", 4), it("base_model.model.m.road_alpha", 4)}}
}

func TestRoAdFields(t *testing.T) {
	for _, fields := range []string{`"group_size": 3`, `"group_size": 0`, `"group_size": -2`, `"variant": "road_3"`} {
		_, err := open(t, adapterOf(t, "ROAD", fields, moduleOf["ROAD"].items...), Options{})
		if e := (*FieldError)(nil); !as(err, &e) {
			t.Errorf("%s: %v", fields, err)
		}
	}
}
