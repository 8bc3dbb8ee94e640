package resolve

import (
	"slices"
	"strings"
)

// joint is a layer that takes the place of several: its rows are theirs, one layer after
// another.
type joint struct {
	name   string
	layers []string
	heads  bool // queries, keys and values, in proportion to their heads
}

var (
	qkv    = joint{name: "qkv_proj", layers: []string{"q_proj", "k_proj", "v_proj"}, heads: true}
	wqkv   = joint{name: "Wqkv", layers: qkv.layers, heads: true}
	gateUp = joint{name: "gate_up_proj", layers: []string{"gate_proj", "up_proj"}}
)

// joints are the model types whose joint layers are known to hold rows in this order;
// others shuffle them by head. Adapters for the single layers come from variants of the
// models that keep them apart.
var joints = map[string][]joint{
	"dbrx":            {wqkv},
	"glm":             {gateUp},
	"glm4":            {gateUp},
	"minimax":         {qkv},
	"modernbert":      {wqkv},
	"mpt":             {wqkv},
	"phi3":            {qkv, gateUp},
	"phi4_multimodal": {qkv, gateUp},
	"phi3_v":          {qkv, gateUp},
}

// Joined tells of which layer's rows the weight of a module is a part, where the base
// joins layers that the adapter keeps apart.
func (x *Index) Joined(module, param string) (Storage, bool) {
	dot := strings.LastIndexByte(module, '.')
	if param != "weight" || dot < 0 {
		return Storage{}, false
	}
	for _, j := range joints[x.base.ModelType] {
		part := slices.Index(j.layers, module[dot+1:])
		m, err := x.Find(module[:dot+1]+j.name, param)
		if part < 0 || err != nil || m.Tied {
			continue
		}
		s := Storage{Sources: [][]string{{m.Name}}, Part: part, Parts: len(j.layers)}
		if j.heads {
			s.Shares = x.heads()
			s.Unequal = true
		}
		return s, !j.heads || s.Shares != nil
	}
	return Storage{}, false
}

// Spread tells how the weight of a module is stored that the loader splits by rows: the
// base holds the parts, as a model saved in today's form does, and the adapter names
// the whole.
func (x *Index) Spread(module, param string) (Storage, bool) {
	own := x.own()
	runtime := own.canonical(join(module, param), nil)
	for _, r := range own.converts {
		names, _ := r.convert(runtime)
		if len(names) == 0 || !slices.Equal(r.Ops, []string{"Chunk(dim=0)"}) {
			continue
		}
		s := Storage{Parts: 1}
		for _, n := range names {
			dot := strings.LastIndexByte(n, '.')
			m, err := x.Find(n[:max(dot, 0)], n[dot+1:])
			if err != nil || m.Tied {
				return s, false
			}
			s.Sources = append(s.Sources, []string{m.Name})
		}
		return s, true
	}
	return Storage{}, false
}

// heads are the numbers of heads of queries, keys and values, nil when config.json does
// not tell.
func (x *Index) heads() []int64 {
	if x.base.Config == nil {
		return nil
	}
	for _, at := range []string{"", "text_config."} {
		heads := x.number(at, "num_attention_heads", "n_heads", "n_head")
		if heads == 0 {
			continue
		}
		groups := x.number(at, "num_key_value_heads", "attn_config.kv_n_heads")
		if groups == 0 {
			groups = heads
		}
		return []int64{heads, groups, groups}
	}
	return nil
}

// number is the first positive integer at the paths of the config.
func (x *Index) number(at string, paths ...string) int64 {
	for _, p := range paths {
		if f, ok := x.base.Config(at + p).(float64); ok && f >= 1 && f < 1<<20 && f == float64(int64(f)) {
			return int64(f)
		}
	}
	return 0
}
