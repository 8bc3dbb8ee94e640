package peft

import (
	"slices"

	"lorafs/lazymerge/transform"
)

// glora reads peft_type GLORA: matrices that a weight is multiplied with, element by
// element, and that are added to it; the same for the bias, and one that takes the
// weight to it.
var glora = method{
	prefix: "glora_",
	usual:  []string{"bias", "init_weights", "modules_to_save", "target_modules"},
	fields: []fieldRule{
		{name: "config_A_B", use: used},
		{name: "config_C", use: used},
		{name: "config_D_E", use: used},
		{name: "r", use: used},
	},
	leaves: gloraLeaves(),
	read:   func(v *values) maker { return readGLoRA(v) },
}

// gloraPaths are the names of the matrices: A and B are for the weight.
var gloraPaths = []role{"glora_A", "glora_B", "glora_C", "glora_D", "glora_E"}

func gloraLeaves() []leaf {
	var leaves []leaf
	for _, path := range gloraPaths {
		for _, part := range []string{"X", "Xd", "Xu", "zeros"} {
			leaves = append(leaves, leaf{path: string(path) + "." + part})
		}
	}
	return leaves
}

type gloraSettings struct {
	rank  int64
	forms map[role]string
}

func readGLoRA(v *values) *gloraSettings {
	s := &gloraSettings{rank: 8, forms: make(map[role]string)}
	if raw, ok := v.obj.get("r"); ok {
		s.rank = v.rank("r", raw)
	}
	form := func(field, otherwise string, allowed ...string) string {
		name := v.text(field)
		switch {
		case name == "":
			return otherwise
		case !slices.Contains(allowed, name):
			v.fail(field, v.field(field), "not a form of its matrices")
		}
		return name
	}
	ab := form("config_A_B", "lora", "lora", "vector", "constant", "none")
	s.forms["glora_A"], s.forms["glora_B"] = ab, ab
	s.forms["glora_C"] = form("config_C", "lora", "lora", "vector", "none")
	de := form("config_D_E", "constant", "vector", "constant", "none")
	s.forms["glora_D"], s.forms["glora_E"] = de, de
	return s
}

func (s *gloraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	paths := make(map[role]transform.Path)
	for _, name := range gloraPaths {
		path, err := s.path(p, l, name)
		if err != nil {
			return nil, err
		}
		paths[name] = path
	}
	edits := []transform.Edit{l.edit("weight", transform.GLoRA{A: paths["glora_A"], B: paths["glora_B"]})}
	// A module without a bias has zeros for what would change it.
	bias := l.edit("bias", transform.GLoRABias{C: paths["glora_C"], D: paths["glora_D"], E: paths["glora_E"]})
	if len(bias.Keys) > 0 {
		edits = append(edits, bias)
	}
	if len(edits[0].Keys) == 0 {
		edits = edits[1:]
	}
	return edits, nil
}

// path is one matrix: of the form that the config says, or zeros, which PEFT saves for
// a form that a module does not have.
func (s *gloraSettings) path(p *parser, l *layer, name role) (transform.Path, error) {
	if zeros := l.tensors[name+".zeros"]; zeros != nil {
		if p.scan.zero[zeros] {
			p.used[zeros.Name] = true
			return transform.Path{}, nil
		}
		return transform.Path{X: zeros}, nil
	}
	if s.forms[name] != "lora" {
		w, err := p.need(l, name+".X")
		if err != nil {
			return transform.Path{}, err
		}
		return transform.Path{X: w[0]}, nil
	}
	w, err := p.need(l, name+".Xd", name+".Xu")
	if err != nil {
		return transform.Path{}, err
	}
	return transform.Path{Down: w[0], Up: w[1]}, p.checkRank(l, w[1], 0, s.rank, "r")
}
