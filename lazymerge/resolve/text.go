package resolve

import (
	"slices"
	"strings"
)

// textual crosses between a language model on its own and the same one within a
// vision or audio model.
func (q *query) textual() (Match, error) {
	if q.x.trained.towers != nil {
		return Match{}, nil
	}
	names := q.x.inward(q.name)
	names = append(names, q.x.outward(q.name)...)
	if len(names) == 0 {
		return Match{}, nil
	}
	m, err := q.spread(names)
	if err != nil || m.Name == "" || !q.x.trained.unknown {
		return m, err
	}
	if other, _ := q.inTower(); other.Name != "" && other.Name != m.Name {
		return Match{}, q.ambiguous([]string{m.Name, other.Name})
	}
	return m, nil
}

// inward gives the names of a text-only class's parameter within the base's
// language model.
func (x *Index) inward(name string) []string {
	var names []string
	for _, p := range x.own().parts {
		if !languageConfig(p.config) || p.info == nil || p.path == "" {
			continue
		}
		if t := typeOf(p.modelType); t != nil {
			if c := classOf(t.Tasks["CAUSAL_LM"]); c != nil {
				if rest, ok := under(name, c.Prefix); ok && c.Prefix != "" {
					names = append(names, p.path+"."+rest)
				}
			}
		}
		names = append(names, p.path+"."+name)
	}
	if names == nil && x.own().class == "" {
		rest := strings.TrimPrefix(name, "model.")
		for _, p := range languageParts {
			names = append(names, p+"."+name, "model."+p+"."+rest)
		}
	}
	return names
}

// languageConfig tells the config of a language model within another one.
func languageConfig(path string) bool {
	last := path[strings.LastIndexByte(path, '.')+1:]
	return last == "text_config" || last == "llm_config" || last == "language_config"
}

// languageParts are the components under which multimodal classes keep their
// language model.
var languageParts = []string{"language_model", "text_model"}

// outward drops the component of the language model from the name, where the
// base has no such component and so is the language model itself. What stands before it
// must mean nothing, either: it may be another component's text model.
func (x *Index) outward(name string) []string {
	parts := strings.Split(name, ".")
	i := slices.IndexFunc(parts, func(p string) bool { return slices.Contains(languageParts, p) })
	if i < 0 || i > 2 || x.hasComponent(parts[i]) || x.multimodal() {
		return nil
	}
	rest := slices.Delete(parts, i, i+1)
	out := []string{strings.Join(rest, ".")}
	if i > 0 && meaningless(parts[:i]) {
		out = append(out, strings.Join(rest[i:], "."))
	}
	return out
}

func (x *Index) multimodal() bool {
	for _, p := range x.own().parts {
		if p.config != "" {
			return true
		}
	}
	return false
}

func (x *Index) hasComponent(c string) bool {
	for _, n := range x.base.Names {
		if strings.HasPrefix(n, c+".") || strings.Contains(n, "."+c+".") {
			return true
		}
	}
	return false
}
