package resolve

import (
	"slices"
	"strings"
)

// tied takes the tensor that the architecture ties the parameter to.
func (q *query) tied() (Match, error) {
	x := q.x
	for _, m := range x.all() {
		m.build()
		forms := append([]string{q.name, m.canonical(q.name, nil)}, x.variants(q.name)...)
		forms = append(forms, x.inward(q.name)...)
		for _, form := range forms {
			for _, other := range x.group(m, form) {
				if d := x.present(m, other); d != "" {
					return Match{Name: d, Tied: true, Own: x.diskName(m, form)}, nil
				}
			}
		}
	}
	return q.tiedByConfig()
}

// embeddings are the last components of input embeddings, for classes that are
// not in the tables.
var embeddings = []string{"embed_tokens.weight", "wte.weight", "word_embeddings.weight", "tok_embeddings.weight", "embed_in.weight"}

// tiedByConfig serves a base whose class is not in the tables but whose config
// says that the output is tied.
func (q *query) tiedByConfig() (Match, error) {
	if q.name != "lm_head.weight" || q.x.own().class != "" {
		return Match{}, nil
	}
	if tie, _ := q.x.truth("tie_word_embeddings"); !tie {
		return Match{}, nil
	}
	var found []string
	for _, n := range q.x.base.Names {
		for _, e := range embeddings {
			if n == e || strings.HasSuffix(n, "."+e) {
				found = append(found, n)
			}
		}
	}
	m, err := q.settle(found)
	if m.Name != "" {
		m.Tied, m.Own = true, q.name
	}
	return m, err
}

// TiedTo lists the disk names of the parameters that the architecture ties to the
// disk tensor name, present on disk or not.
func (x *Index) TiedTo(name string) []string {
	m := x.own()
	m.build()
	runtime, ok := m.disk[name]
	if !ok {
		return nil
	}
	var out []string
	for _, form := range append([]string{runtime}, x.variants(runtime)...) {
		for _, other := range x.group(m, form) {
			d := x.present(m, other)
			if d == "" {
				d = x.diskName(m, other)
			}
			if d != name && !slices.Contains(out, d) {
				out = append(out, d)
			}
		}
	}
	slices.Sort(out)
	return out
}

// present is the disk tensor of a runtime name, or "".
func (x *Index) present(m *mapping, runtime string) string {
	for _, n := range append([]string{runtime}, x.variants(runtime)...) {
		for _, t := range m.index[n] {
			if t.by == nil {
				return t.disk
			}
		}
	}
	return ""
}

// group lists the parameters that share a tensor with the runtime name, the
// source of the sharing first.
func (x *Index) group(m *mapping, runtime string) []string {
	for source, targets := range x.ties(m) {
		if source == runtime {
			return targets
		}
		if slices.Contains(targets, runtime) {
			out := []string{source}
			for _, t := range targets {
				if t != runtime {
					out = append(out, t)
				}
			}
			return out
		}
	}
	return nil
}

// ties maps the sources of sharing to what shares them, as far as the config
// lets the parts of the class share.
func (x *Index) ties(m *mapping) map[string][]string {
	m.tieOnce.Do(func() {
		m.tied = map[string][]string{}
		for _, p := range m.parts {
			if p.info == nil || len(p.info.Ties) == 0 || !x.tiesEmbeddings(p) {
				continue
			}
			for t, s := range p.info.Ties {
				s, t = join(p.path, s), join(p.path, t)
				m.tied[s] = append(m.tied[s], t)
			}
		}
		for _, t := range m.tied {
			slices.Sort(t)
		}
	})
	return m.tied
}

// tiesEmbeddings reports whether the config of a part ties its embeddings. Releases before
// 5 kept the flag in the text config of a composite model.
func (x *Index) tiesEmbeddings(p part) bool {
	own, explicit := x.truth(strings.Trim(p.config+".tie_word_embeddings", "."))
	if !explicit {
		t := typeOf(p.modelType)
		own = t != nil && t.Tie
	}
	if own {
		return true
	}
	text := strings.Trim(p.config+".text_config", ".")
	if inner, ok := x.truth(text + ".tie_word_embeddings"); ok {
		return inner
	}
	t := typeOf(x.text(text + ".model_type"))
	return t != nil && t.Tie && !explicit
}
