package peft

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lorafs/lazymerge/transform"
)

// layouts are the values of lora_B_layout, which unsloth writes.
var layouts = map[string]transform.ExpertOrder{
	"":                  transform.OrderByConfig,
	"rank_major":        transform.RankMajor,
	"grouped_by_expert": transform.ByExpert,
}

func (s *loraSettings) readParameters(v *values) {
	s.Parameters = v.names("target_parameters")
	const name = "lora_B_layout"
	order, ok := layouts[v.text(name)]
	if !ok {
		v.fail(name, v.field(name), `neither "rank_major" nor "grouped_by_expert"`)
	}
	s.Order, s.layout = order, layoutOf(v.text("peft_version"))
	s.unsloth = strings.Contains(strings.ToLower(v.text("base_model_name_or_path")), "unsloth") || v.field("unsloth_version") != nil
	for _, m := range v.object("auto_mapping") {
		s.unsloth = s.unsloth || m.key == "unsloth_fixed" && truthy(m.raw)
	}
}

// parameters are the names that target_parameters may mean of a module, by PEFT's rule
// for ends of names.
func (s *loraSettings) parameters(module string) []string {
	var names []string
	for _, t := range s.Parameters {
		owner, name := "", t
		if dot := strings.LastIndexByte(t, '.'); dot >= 0 {
			owner, name = t[:dot], t[dot+1:]
		}
		if owner == "" || module == owner || strings.HasSuffix(module, "."+owner) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// stack makes the edit of a module with bare parameters. ok is false when the module is
// a layer. Errors: *MissingTensorError, *UnknownTensorsError, *FieldError.
func (s *loraSettings) stack(p *parser, l *layer) (edits []transform.Edit, ok bool, err error) {
	if l.depth > 0 {
		// The edit is that of the outermost level.
		l.stacked = true
		return nil, true, p.enclosed(l)
	}
	levels, names := p.levels(l), s.parameters(l.module)
	if len(levels) == 1 {
		// PEFT does not wrap the parameters of a layer that it has an adapter for.
		if layer, err := p.targeted(l.pattern); len(names) == 0 || layer || err != nil {
			return nil, false, nil
		}
	}
	l.stacked = true
	if len(names) == 0 {
		return nil, true, &UnknownTensorsError{File: p.file.Path(), Tensors: heldBy(levels[:len(levels)-1])}
	}
	st := transform.Stack{Layout: s.layout, Grouped: s.grouped(p.opt)}
	for _, inner := range levels {
		f, err := p.need(inner, roleA, roleB)
		if err != nil {
			return nil, true, err
		}
		if err := s.checkExtras(p, inner); err != nil {
			return nil, true, err
		}
		st.Levels = append(st.Levels, transform.Level{A: f[0], B: f[1]})
	}
	for _, name := range names {
		pattern := l.module + "." + name
		param := transform.StackParam{Name: name}
		if param.Rank, param.Field, err = s.Rank.of(pattern); err != nil {
			return nil, true, err
		}
		if param.Scale, err = s.scaling(pattern, param.Rank); err != nil {
			return nil, true, err
		}
		st.Params = append(st.Params, param)
	}
	if len(levels) == 1 {
		if low, err := s.lowRank(p, l); err == nil {
			st.Plain = low
		}
	}
	s.warnOrder(p, st)
	return []transform.Edit{l.edit("", st)}, true, nil
}

// wrapped is how the name of a level differs from that of the one around it.
const wrapped = ".base_layer"

// levels are the nested adapters of a module, innermost first.
func (p *parser) levels(l *layer) []*layer {
	var found []*layer
	for name := l.module; p.byName[name] != nil; name += wrapped {
		found = append(found, p.byName[name])
	}
	slices.Reverse(found)
	return found
}

// nests tells whether the adapter may hold the tensor at an inner level.
func (p *parser) nests(k tensorKey) bool {
	s, ok := p.config.own.(*loraSettings)
	return ok && len(s.Parameters) > 0 && (k.role == roleA || k.role == roleB)
}

// enclosed looks for the levels around an inner one. Errors: *MissingTensorError.
func (p *parser) enclosed(l *layer) error {
	name := strings.TrimSuffix(l.module, strings.Repeat(wrapped, l.depth))
	for range l.depth {
		if p.byName[name] == nil {
			return p.missing(&layer{module: name, tensors: l.tensors}, roleA)
		}
		name += wrapped
	}
	return nil
}

func heldBy(levels []*layer) []string {
	var keys []string
	for _, l := range levels {
		keys = append(keys, held(l)...)
	}
	return keys
}

// targeted tells whether target_modules means the module.
func (p *parser) targeted(module string) (bool, error) {
	c := p.config
	if c.TargetRegexp == "" || c.TargetRegexp == "all-linear" {
		return c.listMatch(module)
	}
	re, err := compileFull(c.TargetRegexp)
	if err != nil {
		return false, err
	}
	return re.match(module)
}

func (s *loraSettings) grouped(o Options) bool {
	if o.Experts != transform.OrderByConfig {
		return o.Experts == transform.ByExpert
	}
	return s.Order == transform.ByExpert
}

// warnOrder says once that the order of experts is a guess: both orders have the same
// shapes, and unsloth trained with the other one.
func (s *loraSettings) warnOrder(p *parser, st transform.Stack) {
	if s.warned || p.probing || p.opt.Experts != transform.OrderByConfig || s.Order != transform.OrderByConfig {
		return
	}
	several := slices.ContainsFunc(st.Levels, func(l transform.Level) bool {
		return slices.ContainsFunc(st.Params, func(x transform.StackParam) bool {
			return x.Rank > 1 && len(l.A.Shape) == 2 && l.A.Shape[0] > x.Rank
		})
	})
	if !several || !s.unsloth && !mentions(filepath.Join(filepath.Dir(p.config.Path), "README.md"), "unsloth") {
		return
	}
	s.warned = true
	p.warn(transform.ExpertsGuess, "", "the adapter looks made by unsloth, which until September 2026 sorted the columns of lora_B by expert; "+
		"nothing in the file tells, and they are read in PEFT's order, by rank. If the merged model talks nonsense, use --experts grouped")
}

// mentions tells whether a text file has a word, in any case, near its beginning.
func mentions(path, word string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return err == nil && bytes.Contains(bytes.ToLower(text), []byte(word))
}

// layoutOf is the layout of stacks that a release of PEFT writes. Between 0.19.0 and
// 0.19.1, and without a version, it is not known.
func layoutOf(version string) transform.StackLayout {
	release := version
	if i := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); i >= 0 {
		release = strings.TrimRight(version[:i], ".")
	}
	final := release == version
	var n [3]int
	for i, part := range strings.SplitN(release, ".", 3) {
		v, err := strconv.Atoi(part)
		if err != nil {
			return transform.LayoutUnknown
		}
		n[i] = v
	}
	switch c := slices.Compare(n[:], []int{0, 19, 0}); {
	case c < 0:
		return transform.LayoutInOut
	case c == 0 && final:
		return transform.LayoutSwapTurned
	case c == 0, slices.Equal(n[:], []int{0, 19, 1}) && !final:
		return transform.LayoutUnknown
	}
	return transform.LayoutSwapNotTurned
}
