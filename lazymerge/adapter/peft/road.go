package peft

import "lorafs/lazymerge/transform"

// road reads peft_type ROAD: pairs of outputs are turned and stretched.
var road = method{
	prefix: "road_",
	usual:  []string{"init_weights", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "group_size", use: used},
		{name: "variant", use: used},
	},
	leaves: []leaf{{path: "road_theta"}, {path: "road_alpha"}},
	read:   func(v *values) maker { return readRoAd(v) },
}

type roadSettings struct {
	variant transform.RoAdVariant
	group   int64
}

func readRoAd(v *values) *roadSettings {
	s := &roadSettings{variant: transform.RoAd1, group: 64}
	if raw := v.field("group_size"); raw != nil {
		n, ok := decodeInt(raw)
		if !ok || n < 2 || n%2 != 0 {
			v.fail("group_size", raw, "not an even number of outputs")
		}
		s.group = n
	}
	switch name := v.text("variant"); name {
	case "", "road_1":
	case "road_2":
		s.variant = transform.RoAd2
	case "road_4":
		s.variant = transform.RoAd4
	default:
		v.fail("variant", v.field("variant"), `not "road_1", "road_2" or "road_4"`)
	}
	return s
}

func (s *roadSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	w, err := p.need(l, "road_theta", "road_alpha")
	if err != nil {
		return nil, err
	}
	t := transform.RoAd{Theta: w[0], Alpha: w[1], Variant: s.variant, Group: s.group}
	bias := l.edit("bias", t)
	bias.Optional = true
	return []transform.Edit{l.edit("weight", t), bias}, nil
}
