package lazymerge

import (
	"maps"
	"slices"
	"strings"

	"lorafs/lazymerge/transform"
)

// namesakes give the names that missing tensors would have in an adapter's file, after
// those of others.
type namesakes struct {
	trained *transform.Trained
	layers  map[string]string // a layer of each form
	params  map[string]string // a whole parameter of each form
	modules map[string]string // a whole parameter of each module
	any     string            // some layer
	front   string            // what stands before the names of whole parameters
}

func newNamesakes(t *transform.Trained) *namesakes {
	n := &namesakes{trained: t, layers: make(map[string]string), params: make(map[string]string), modules: make(map[string]string), front: "base_model.model."}
	for _, m := range slices.Sorted(maps.Keys(t.Layers)) {
		if form := unnumbered(m); n.layers[form] == "" {
			n.layers[form] = m
		}
		n.any = m
	}
	for _, p := range slices.Sorted(maps.Keys(t.Whole)) {
		if form := unnumbered(p); n.params[form] == "" {
			n.params[form] = p
		}
		m, _ := cutLast(p)
		n.modules[m] = p
		if at := strings.Index(t.Whole[p], m+"."); at >= 0 {
			n.front = t.Whole[p][:at]
		}
	}
	return n
}

// layer are the names of an adapted module's tensors.
func (n *namesakes) layer(module string) []string {
	like := n.layers[unnumbered(module)]
	if like == "" {
		like = n.any
	}
	if like == "" {
		return []string{"base_model.model." + module + "." + n.trained.Leaf}
	}
	var names []string
	for _, key := range n.trained.Layers[like] {
		names = append(names, strings.Replace(key, like+".", module+".", 1))
	}
	return names
}

// whole is the name of a parameter.
func (n *namesakes) whole(module, param string) string {
	if p := n.modules[module]; p != "" {
		above, _ := cutLast(n.trained.Whole[p])
		return above + "." + param
	}
	if p := n.params[unnumbered(module+"."+param)]; p != "" {
		like, _ := cutLast(p)
		return strings.Replace(n.trained.Whole[p], like+".", module+".", 1)
	}
	if n.trained.Layers[module] != nil {
		module += ".base_layer"
	}
	return n.front + module + "." + param
}

// hasLike tells whether the file has a whole parameter of a module that differs by its
// numbers alone.
func (n *namesakes) hasLike(module string) bool {
	form := unnumbered(module) + "."
	for _, param := range []string{"weight", "bias", "in_proj_weight", "in_proj_bias"} {
		if n.params[form+param] != "" {
			return true
		}
	}
	return false
}
