package lazymerge

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"lorafs/lazymerge/resolve"
)

// presence is whether the model in memory had a module.
type presence uint8

const (
	unknown presence = iota
	yes
	no
)

// exists tells whether the adapter's model had a module that the base stores.
func (s *survey) exists(module string) presence {
	n := numbers(module)
	switch {
	case strings.Contains(module, "mtp") || strings.Contains(module, "nextn"):
		return unknown
	case len(n) == 0:
		return s.single(module)
	case s.shares(module, n):
		return no
	case s.held[module] || s.held[throughNumber(module)]:
		return yes
	case s.kinds[unnumbered(module)], s.namesakes.hasLike(module):
		return s.inLists(module)
	}
	return s.inBlock(module)
}

// inBlock is exists for a kind of module of which the file has none: layers of one model
// may be of several kinds.
func (s *survey) inBlock(module string) presence {
	parts := strings.Split(module, ".")
	first := slices.IndexFunc(parts, isNumber)
	list, block := strings.Join(parts[:first], "."), strings.Join(parts[:first+1], ".")
	if slices.ContainsFunc(parts[first+1:], isNumber) && !s.holdsLike(list, parts[first+1:]) {
		return unknown // experts may be no modules in memory
	}
	_, held := s.last[list]
	switch {
	case s.held[block]:
		return yes
	case held, s.taskHas(list):
		return s.inLists(block)
	}
	return unknown
}

// holdsLike tells whether the file has modules of the list within a block, of this list of
// blocks or of the other one of an encoder and a decoder.
func (s *survey) holdsLike(list string, inner []string) bool {
	rest := ".#." + unnumbered(strings.Join(inner[:slices.IndexFunc(inner, isNumber)], "."))
	for _, swap := range []*strings.Replacer{strings.NewReplacer(), strings.NewReplacer("encoder", "decoder", "decoder", "encoder")} {
		if _, ok := s.last[swap.Replace(list)+rest]; ok {
			return true
		}
	}
	return false
}

// taskHas tells whether every model of the adapter's task has the list: those of text have
// a language model, and those from text to text an encoder and a decoder.
func (s *survey) taskHas(list string) bool {
	parts := strings.Split(list, ".")
	has := func(names ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(names, p) })
	}
	switch s.recipe.TaskType {
	case "CAUSAL_LM":
		return has("language_model", "text_model")
	case "SEQ_2_SEQ_LM":
		return has("encoder", "decoder")
	}
	return false
}

// alone tells of a module in no list whether there is reason to miss it: other modules of
// what it stands in are trained, or the config names it and nothing else is called so.
func (s *survey) alone(module string, o *output) bool {
	if len(o.info.Shape) > 2 && !s.convs {
		return false // not every type adapts convolutions
	}
	if len(numbers(module)) > 0 || strings.Contains(module, "mtp") || strings.Contains(module, "nextn") {
		return false
	}
	for above, _ := cutLast(module); above != ""; above, _ = cutLast(above) {
		if s.held[above] && !s.names.Root(above) {
			return true
		}
	}
	for _, name := range s.trained.Names {
		if endsIn(module, name) && !s.layerEndsIn(name) {
			return true
		}
	}
	return false
}

// layerEndsIn tells whether the file has a layer that a name of the config means.
func (s *survey) layerEndsIn(name string) bool {
	for module := range s.trained.Layers {
		module, _, _ = strings.Cut(module, ".base_layer")
		if endsIn(module, name) {
			return true
		}
	}
	return false
}

// endsIn tells whether a name's last components are those of an end.
func endsIn(name, end string) bool { return name == end || strings.HasSuffix(name, "."+end) }

// single is exists for a module that stands in no list of modules.
func (s *survey) single(module string) presence {
	above, leaf := cutLast(module)
	switch {
	case s.held[module], above != "" && s.held[above]:
		return yes
	case !resolve.Known(s.c.modelType()) && s.heldAtTop():
		return yes // a program's own class, of which the checkpoint is all there is
	case above == "" && leaf == "lm_head":
		if t := s.recipe.TaskType; t == "CAUSAL_LM" || t == "SEQ_2_SEQ_LM" {
			return yes
		}
	case slices.Contains(inputs, leaf) && s.trained.Layers != nil && s.onlyInput(leaf):
		return yes
	}
	return unknown
}

// inputs are names of the embedding of tokens, which every model has that has the layers
// behind it.
var inputs = []string{"embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"}

// onlyInput tells whether the base has one module of that name, and the file nothing of it.
func (s *survey) onlyInput(leaf string) bool {
	count := 0
	for _, o := range s.outputs {
		if module, _ := cutLast(o.name); !o.added {
			if _, last := cutLast(module); last == leaf {
				count++
			}
		}
	}
	return count == 1
}

// heldAtTop tells whether the file has a module that stands in no other.
func (s *survey) heldAtTop() bool {
	for module := range s.held {
		if module != "" && !strings.Contains(module, ".") && s.isLeaf(module) {
			return true
		}
	}
	return false
}

// isLeaf tells whether the file holds a module itself, and not only what stands in it.
func (s *survey) isLeaf(module string) bool {
	return s.trained.Layers[module] != nil || s.trained.Whole[module+".weight"] != "" || s.trained.Whole[module+".bias"] != ""
}

// inLists compares the numbers of a module with those that the lists reach to.
func (s *survey) inLists(module string) presence {
	parts := strings.Split(module, ".")
	found := yes
	for i, part := range parts {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			continue
		}
		list := unnumbered(strings.Join(parts[:i], "."))
		top, ok := s.last[list]
		if ok && n <= top {
			continue
		}
		switch s.counted(list, n, top) {
		case no:
			return no
		case unknown:
			found = unknown
		}
	}
	return found
}

// counted asks config.json: the list has more than top modules and at most as many as are
// stored, and a number of it that lies between is its length.
func (s *survey) counted(list string, n, top int64) presence {
	most := s.longest(list)
	above, below := false, false
	for _, c := range s.counts {
		if c.number <= top || c.number > most || !c.of(list) {
			continue
		}
		above = above || c.number > n
		below = below || c.number <= n
	}
	switch {
	case above && !below:
		return yes
	case below && !above:
		return no
	}
	return unknown
}

// longest is how many modules of a list are stored.
func (s *survey) longest(list string) int64 {
	for _, sp := range s.spellings {
		if rest, ok := cutFront(list, sp.adapter); ok && !sp.whole {
			if top, ok := s.stored[join(sp.disk, rest)]; ok {
				return top + 1
			}
		}
	}
	return 0
}

// shares tells whether the module is of keys and values that its layer takes from an
// earlier one, as in Gemma 3n, and the file has none of that kind.
func (s *survey) shares(module string, n []int64) bool {
	_, leaf := cutLast(module)
	if leaf != "k_proj" && leaf != "v_proj" && leaf != "k_norm" && leaf != "v_norm" || s.held[module] {
		return false
	}
	if s.sharing == 0 || n[0] < s.sharing {
		return false
	}
	form := unnumbered(module)
	for other := range s.trained.Layers {
		if m := numbers(other); unnumbered(other) == form && m[0] >= s.sharing {
			return false
		}
	}
	return true
}

// sharedKeys is the first layer without keys and values of its own, 0 when all have them.
func (p *planner) sharedKeys() int64 {
	cfg := gjson.ParseBytes(p.c.dir.Config)
	for _, section := range sections(cfg) {
		if n := cfg.Get(section + "num_kv_shared_layers").Int(); n > 0 {
			return max(cfg.Get(section+"num_hidden_layers").Int()-n, 1)
		}
	}
	return 0
}

// count is a number of config.json that may be that of layers or experts.
type count struct {
	field  string
	number int64
}

// of tells whether a count may be a list's: that of an encoder's layers is not a decoder's.
func (c count) of(list string) bool {
	encoder, decoder := strings.Contains(list, "encoder"), strings.Contains(list, "decoder")
	switch {
	case strings.Contains(c.field, "encoder"):
		return encoder || !decoder
	case strings.Contains(c.field, "decoder"):
		return decoder || !encoder
	}
	return true
}

// layerCounts are all such numbers.
func (p *planner) layerCounts() []count {
	if p.config.layers != nil {
		return []count{{number: int64(len(p.config.layers))}}
	}
	var counts []count
	var visit func(key string, v gjson.Result, depth int)
	visit = func(key string, v gjson.Result, depth int) {
		switch {
		case v.IsObject() && depth < 8, v.IsArray() && countName(key):
			v.ForEach(func(k, x gjson.Result) bool {
				if v.IsObject() {
					key = k.String()
				}
				visit(key, x, depth+1)
				return true
			})
		case v.Type == gjson.Number && countName(key) && v.Int() > 0:
			counts = append(counts, count{key, v.Int()})
		}
	}
	visit("", gjson.ParseBytes(p.c.dir.Config), 0)
	return counts
}

// countName tells whether a field's name is that of a number of layers or experts.
func countName(key string) bool {
	for _, other := range []string{"nextn", "mtp", "predict", "shared", "dense", "per_tok", "max_window", "interval"} {
		if strings.Contains(key, other) {
			return false
		}
	}
	for _, end := range []string{"layers", "n_layer", "depth", "depths", "experts", "blocks", "num_hidden_groups"} {
		if strings.HasSuffix(key, end) {
			return true
		}
	}
	return false
}

// Names with numbers: "model.layers.3.mlp" is "model.layers.#.mlp" and 3.

func unnumbered(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if isNumber(part) {
			parts[i] = "#"
		}
	}
	return strings.Join(parts, ".")
}

func numbers(name string) []int64 {
	var all []int64
	for part := range strings.SplitSeq(name, ".") {
		if isNumber(part) {
			n, _ := strconv.ParseInt(part, 10, 64)
			all = append(all, n)
		}
	}
	return all
}

func isNumber(part string) bool {
	if part == "" || len(part) > 9 {
		return false
	}
	return strings.Trim(part, "0123456789") == ""
}

// number puts numbers into a name. ok is false where it has another number of places.
func number(form string, n []int64) (name string, ok bool) {
	parts := strings.Split(form, ".")
	for i, part := range parts {
		if part != "#" {
			continue
		}
		if len(n) == 0 {
			return "", false
		}
		parts[i], n = strconv.FormatInt(n[0], 10), n[1:]
	}
	return strings.Join(parts, "."), len(n) == 0
}

// noteNumbers books the highest number in each list of modules that a name goes through.
func noteNumbers(name string, last map[string]int64) {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if !isNumber(part) {
			continue
		}
		n, _ := strconv.ParseInt(part, 10, 64)
		list := unnumbered(strings.Join(parts[:i], "."))
		if top, ok := last[list]; !ok || n > top {
			last[list] = n
		}
	}
}

// throughNumber is a name up to its last number.
func throughNumber(name string) string {
	parts := strings.Split(name, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		if isNumber(parts[i]) {
			return strings.Join(parts[:i+1], ".")
		}
	}
	return ""
}

func cutLast(name string) (above, last string) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return "", name
	}
	return name[:dot], name[dot+1:]
}

// cutFront takes a beginning of whole components off a name.
func cutFront(name, front string) (rest string, ok bool) {
	if front == "" || name == front {
		return strings.TrimPrefix(name, front), true
	}
	return strings.CutPrefix(name, front+".")
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "." + b
}
