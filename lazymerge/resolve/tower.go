package resolve

import "strings"

// trained is what is known of the model that an adapter was trained on: it may have been
// one part of the base's class, and then its modules have the names that they have there.
type trained struct {
	towers  []string // paths of that part, where it is not the language model
	unknown bool     // it may have been any part
}

// For gives the index for an adapter of a model of class ("CLIPVisionModel", "" where it is
// not known) and of PEFT's task type.
func (x *Index) For(class, task string) *Index {
	t := trained{}
	known := false
	for _, p := range x.own().parts {
		if p.class != class || p.path == "" || p.config == "" {
			continue
		}
		known = true
		if !languageConfig(p.config) {
			t.towers = append(t.towers, p.path)
		}
	}
	t.unknown = !known && classOf(class) == nil && (task == "" || task == "FEATURE_EXTRACTION")
	if t.towers == nil && !t.unknown {
		return x
	}
	return &Index{lookup: x.lookup, trained: t}
}

// within looks below the part that the adapter was trained on.
func (q *query) within() (Match, error) {
	return q.below(q.x.trained.towers)
}

// inTower looks below every part but the language model.
func (q *query) inTower() (Match, error) {
	var paths []string
	for _, p := range q.x.own().parts {
		if p.path != "" && p.config != "" && !languageConfig(p.config) {
			paths = append(paths, p.path)
		}
	}
	return q.below(paths)
}

// below takes the name for one of a part's class, with the class's prefix or without it.
func (q *query) below(paths []string) (Match, error) {
	var names []string
	for _, p := range q.x.own().parts {
		for _, path := range paths {
			if p.path != path {
				continue
			}
			names = append(names, path+"."+q.name)
			if p.info == nil || p.info.Prefix == "" {
				continue
			}
			if rest, ok := strings.CutPrefix(q.name, p.info.Prefix+"."); ok {
				names = append(names, path+"."+rest)
			}
		}
	}
	if names == nil {
		return Match{}, nil
	}
	return q.spread(names)
}
