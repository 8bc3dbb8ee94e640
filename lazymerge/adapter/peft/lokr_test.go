package peft

import (
	"slices"
	"testing"
)

func init() {
	moduleOf["LOKR"] = sample{`"r": 2`, []item{it("base_model.model.m.lokr_w1", 2, 1),
		it("base_model.model.m.lokr_w2_a", 2, 2), it("base_model.model.m.lokr_w2_b", 2, 3)}}
}

// TestLoKrForms: either matrix may be whole or a product; a product needs both sides.
func TestLoKrForms(t *testing.T) {
	const m = "base_model.model.m."
	whole, product, core := []item{it(m+"lokr_w2", 2, 3)}, []item{it(m+"lokr_w2_a", 2, 2), it(m+"lokr_w2_b", 2, 3)}, it(m+"lokr_t2", 2, 2, 3, 3)
	first := []item{it(m+"lokr_w1_a", 2, 2), it(m+"lokr_w1_b", 2, 1)}
	for _, x := range []struct {
		items   []item
		missing string
	}{
		{append(whole, first...), ""},
		{append(product, first...), ""},
		{append(append(product, core), first...), ""},
		{append(product, first[0]), "lokr_w1_b"},
		{append(product, first[1]), "lokr_w1_a"},
		{whole, "lokr_w1"},
		{first, "lokr_w2"},
		{append([]item{core}, first...), "lokr_w2_a"},
		{append([]item{core, product[0]}, first...), "lokr_w2_b"},
	} {
		_, err := open(t, adapterOf(t, "LOKR", `"r": 2`, x.items...), Options{})
		if e := (*MissingTensorError)(nil); (err != nil) != (x.missing != "") || err != nil && (!as(err, &e) || e.Want != x.missing) {
			t.Errorf("%v: %v", itemNames(x.items), err)
		}
	}
	both := append(append(whole, product...), first...)
	_, err := open(t, adapterOf(t, "LOKR", `"r": 2`, both...), Options{})
	if e := (*UnknownTensorsError)(nil); !as(err, &e) {
		t.Errorf("whole and product: %v", err)
	}
	_, err = open(t, adapterOf(t, "LOKR", `"r": 3`, append(whole, first...)...), Options{})
	if e := (*RankError)(nil); !as(err, &e) || e.Tensor != m+"lokr_w1_b" {
		t.Errorf("another rank: %v", err)
	}
}

// TestUntrainedTypes: adapters whose change is zero are said to be untrained.
func TestUntrainedTypes(t *testing.T) {
	for kind, zeroed := range map[string]int{"LOKR": 0, "OFT": 0, "SHIRA": 0, "C3A": 0} {
		m := moduleOf[kind]
		items := slices.Clone(m.items)
		items[zeroed] = items[zeroed].with(0)
		r, err := open(t, adapterOf(t, kind, m.fields, items...), Options{})
		if err != nil || len(r.Warnings) != 1 {
			t.Errorf("%s: %v, %v", kind, r, err)
		}
	}
}
