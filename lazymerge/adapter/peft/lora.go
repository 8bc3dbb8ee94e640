package peft

import (
	"fmt"
	"math"
	"strings"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

const (
	roleA          role = "lora_A"
	roleB          role = "lora_B"
	roleBiasB      role = "lora_B.bias"
	roleEmbeddingA role = "lora_embedding_A"
	roleEmbeddingB role = "lora_embedding_B"
	roleMagnitude  role = "lora_magnitude_vector"
	roleDiagonal   role = "lora_diag" // KaSA's
)

// lora reads peft_type LORA.
var lora = method{
	prefix: "lora_",
	usual: []string{"bias", "ensure_weight_tying", "exclude_modules", "fan_in_fan_out", "layer_replication", "layers_pattern",
		"layers_to_transform", "modules_to_save", "target_modules", "trainable_token_indices"},
	fields: loraFields,
	past:   []fieldRule{{name: "lora_B_layout", use: used}},
	leaves: []leaf{
		{path: "lora_A.weight"},
		{path: "lora_B.weight"},
		{path: "lora_B.bias"},
		{path: "lora_embedding_A"},
		{path: "lora_embedding_B"},
		{path: "lora_magnitude_vector"},
		{path: "lora_magnitude_vector.weight"},
		{path: "lora_diag"},
		// VeLoRA's and MonteCLoRA's state of training.
		{path: "lora_velora_embed", role: roleIgnored},
		{path: "lora_monteclora_sampler", role: roleIgnored, tree: true},
	},
	read: func(v *values) maker { return readLoRA(v) },
}

var loraFields = []fieldRule{
	{name: "alora_invocation_tokens", use: refused, never: true, reason: "an activated LoRA starts to act at certain tokens, so it has no merged weights"},
	{name: "alpha_pattern", use: used},
	{name: "arrow_config", use: refused, set: present, never: true, reason: "Arrow chooses among adapters for every token, so it has no merged weights"},
	{name: "corda_config", use: ignored, reason: "init_lora_weights decides"},
	{name: "eva_config", use: ignored, reason: "EVA initialises A and B only"},
	{name: "init_lora_weights", use: used},
	{name: "kasa_config", use: used},
	{name: "loftq_config", use: ignored, reason: "init_lora_weights decides"},
	{name: "lora_alpha", use: used},
	{name: "lora_bias", use: used},
	{name: "lora_dropout", use: ignored, reason: training},
	{name: "lora_ga_config", use: ignored, reason: "init_lora_weights decides"},
	{name: "megatron_config", use: refused, set: present, reason: "layers of Megatron are split across devices, which this version does not read"},
	{name: "megatron_core", use: ignored, reason: "names a Python package; megatron_config decides"},
	{name: "monteclora_config", use: ignored, reason: "its sampler acts in training; the merge is plain LoRA"},
	{name: "qalora_group_size", use: ignored, reason: "use_qalora decides"},
	{name: "r", use: used},
	{name: "rank_pattern", use: used},
	{name: "runtime_config", use: ignored, reason: "PEFT does not read it from a file"},
	{name: "target_parameters", use: used},
	{name: "use_bdlora", use: used},
	{name: "use_dora", use: used},
	{name: "use_qalora", use: refused, never: true, reason: "it pools the inputs of a quantised base, which PEFT does not merge either"},
	{name: "use_rslora", use: used},
	{name: "velora_config", use: ignored, reason: "it compresses activations in training; the merge is plain LoRA"},
}

// loraSettings is what a merge of LORA depends on.
type loraSettings struct {
	Rank     *byModule[int64]
	Alpha    *byModule[float64]
	RSLoRA   bool
	DoRA     bool
	LoRABias bool
	MiCA     bool
	BdLoRA   *bdSettings // nil without

	Parameters []string              // target_parameters
	Order      transform.ExpertOrder // lora_B_layout
	layout     transform.StackLayout
	unsloth    bool // the config looks like unsloth's
	warned     bool // that the order of experts is a guess
	// Change is what loading takes off the base; nil when nothing.
	Change *transform.Change
}

func readLoRA(v *values) *loraSettings {
	s := &loraSettings{
		Rank:     v.rankByModule("r", "rank_pattern", 8, bySuffix),
		Alpha:    v.numberByModule("lora_alpha", "alpha_pattern", 8, bySuffix),
		RSLoRA:   v.boolean("use_rslora"),
		DoRA:     v.boolean("use_dora"),
		LoRABias: v.boolean("lora_bias"),
	}
	s.readInit(v)
	s.readParameters(v)
	s.BdLoRA = readBdLoRA(v, s)
	s.readKaSA(v)
	if s.Change != nil && (s.BdLoRA != nil || len(s.Parameters) > 0) {
		v.fail("init_lora_weights", v.field("init_lora_weights"), "loading changes the base, which is not known together with use_bdlora or target_parameters")
	}
	return s
}

func (s *loraSettings) settle(c *Config) {
	c.Rank, c.RSLoRA = s.Rank.Value, s.RSLoRA
	for _, p := range s.Rank.Patterns {
		c.Rank = max(c.Rank, p.Value)
	}
}

// readKaSA reads whether the base is truncated; what is in the config is of training.
func (s *loraSettings) readKaSA(v *values) {
	raw := v.field("kasa_config")
	if raw == nil || !present(raw) {
		return
	}
	for _, m := range v.object("kasa_config") {
		if m.key != "beta" && m.key != "gamma" {
			v.fail("kasa_config", raw, m.key+" is no field of it that is known")
		}
	}
	if s.DoRA || s.MiCA || s.Change != nil {
		v.fail("kasa_config", raw, "PEFT does not combine it with use_dora, MiCA or another change of the base")
	}
	s.Change = changing(transform.Minor)
}

func changing(c transform.Change) *transform.Change { return &c }

// baseChanging are the initialisations that change the base in a way that the adapter
// does not tell, by the lower-case beginning of their names.
var baseChanging = []struct{ prefix, reason string }{
	{"pissa_niter", "loading takes an unseeded random decomposition off the base, so even PEFT does not get the trained model back"},
	{"corda", "training took a decomposition off the base that depends on its data"},
	{"loftq", "training changed the base to make up for its quantisation"},
	{"lora_ga", "training changed the base by a decomposition of its gradients"},
}

func (s *loraSettings) readInit(v *values) {
	raw := v.field("init_lora_weights")
	switch string(raw) {
	case "", "true", "false":
		return
	}
	name, ok := decodeString(raw)
	if !ok {
		v.fail("init_lora_weights", raw, "neither true, false nor a name")
		return
	}
	lower := strings.ToLower(name)
	for _, b := range baseChanging {
		if strings.HasPrefix(lower, b.prefix) && v.err == nil {
			v.err = &UnsupportedError{Path: v.path, Type: "LORA", Field: "init_lora_weights", Value: name, Reason: b.reason, Never: true}
			return
		}
	}
	switch lower {
	case "", "gaussian", "eva", "orthogonal":
	case "mica":
		s.MiCA = name == "mica" // the exact spelling chooses PEFT's merge
	case "olora":
		s.Change = changing(transform.Leading)
	case "pissa":
		if name != "pissa" {
			v.fail("init_lora_weights", raw, `PEFT spells it "pissa"`)
		}
		s.Change = changing(transform.Principal)
	default:
		v.fail("init_lora_weights", raw, "PEFT has no such initialisation")
	}
}

// scaling is what PEFT multiplies B·A with (peft tuners/lora/layer.py:278 @0.21.2).
func (s *loraSettings) scaling(module string, r int64) (float64, error) {
	alpha, _, err := s.Alpha.of(module)
	if err != nil {
		return 0, err
	}
	if s.RSLoRA {
		return alpha / math.Sqrt(float64(r)), nil
	}
	return alpha / float64(r), nil
}

// layerEdit makes the edit of one module. Errors: *MissingTensorError,
// *DuplicateTensorError, *FieldError, *RankError, *ModuleError.
func (s *loraSettings) edits(p *parser, l *layer) ([]transform.Edit, error) {
	if edits, ok, err := s.stack(p, l); ok || err != nil {
		return edits, err
	}
	low, err := s.lowRank(p, l)
	if err != nil {
		return nil, err
	}
	if s.BdLoRA != nil {
		f, err := s.BdLoRA.apply(p, l, low)
		if err != nil {
			return nil, err
		}
		return []transform.Edit{l.edit("weight", f)}, s.checkExtras(p, l)
	}
	e := l.edit("weight", s.weight(p, l, low))
	switch {
	case low.Layer == transform.InProj:
		e.Param = "in_proj_weight"
	case low.Layer == transform.Linear && s.Change == nil:
		// An attention module whose out_proj has no adapter in the file.
		e.Alt = []string{"in_proj_weight"}
	}
	edits := []transform.Edit{e}
	if b := l.tensors[roleBiasB]; b != nil {
		edits = append(edits, l.edit("bias", transform.AddBias{Bias: b, Scale: low.Scale}))
	}
	return edits, s.checkExtras(p, l)
}

// weight is what the module's tensors do to its weight.
func (s *loraSettings) weight(p *parser, l *layer, low transform.LowRank) transform.Transform {
	t := transform.Transform(low)
	if m := l.tensors[roleMagnitude]; m != nil {
		t = transform.DoRA{LowRank: low, Magnitude: m}
	}
	if diagonal := l.tensors[roleDiagonal]; diagonal != nil {
		t = transform.Factors{
			Type: "lora", Scale: low.Scale, Class: transform.Double,
			A: transform.ScaledRows{By: transform.Vector{Tensor: diagonal}, Of: transform.Stored{Tensor: low.A}}, B: transform.Stored{Tensor: low.B},
		}
	}
	if s.Change == nil || p.places[fullPlace{l.module, "weight", true}] != nil {
		return t // a base weight in the file has changed already: PEFT saves embeddings and heads
	}
	if low.Layer == transform.Embedding && *s.Change != transform.Minor {
		return t // PEFT begins an embedding's factors as it does without PiSSA or OLoRA
	}
	rank := int64(0)
	if len(low.A.Shape) > 0 {
		rank = low.A.Shape[0]
	}
	return transform.Rebased{Change: *s.Change, Rank: rank, Times: low.Scale, Layer: low.Layer, Then: t}
}

func (s *loraSettings) lowRank(p *parser, l *layer) (transform.LowRank, error) {
	low := transform.LowRank{A: l.tensors[roleA], B: l.tensors[roleB], MiCA: s.MiCA}
	embA, embB := l.tensors[roleEmbeddingA], l.tensors[roleEmbeddingB]
	wantA, wantB := roleA, roleB
	switch {
	case embA == nil && embB == nil:
		low.Layer = p.kind(l)
	case low.A == nil && low.B == nil:
		low.A, low.B, low.Layer = embA, embB, transform.Embedding
		wantA, wantB = roleEmbeddingA, roleEmbeddingB
	default:
		return low, &DuplicateTensorError{File: p.file.Path(), Tensors: [2]string{
			firstOf(low.A, low.B).Name, firstOf(embA, embB).Name}}
	}
	if _, err := p.need(l, wantA, wantB); err != nil {
		return low, err
	}
	if s.BdLoRA == nil { // whose B may be of blocks
		if err := p.checkTensors(l, low); err != nil {
			return low, err
		}
	}
	rank, field, err := s.Rank.of(l.pattern)
	if err != nil {
		return low, err
	}
	if err := p.checkRank(l, low.A, 0, rank, field); err != nil {
		return low, err
	}
	low.Scale, err = s.scaling(l.pattern, rank)
	return low, err
}

func (p *parser) kind(l *layer) transform.Kind {
	a := l.tensors[roleA]
	switch {
	case l.outProj:
		return transform.OutProj
	case p.heads[l.module]:
		return transform.InProj
	case a != nil && len(a.Shape) > 2:
		return transform.Conv
	}
	return transform.Linear
}

// checkExtras holds the tensors beside A and B against the config: PEFT creates
// them by the config and drops others without a word.
func (s *loraSettings) checkExtras(p *parser, l *layer) error {
	for _, x := range []struct {
		role  role
		on    bool
		field string
	}{
		{roleMagnitude, s.DoRA, "use_dora"},
		{roleBiasB, s.LoRABias, "lora_bias"},
		{roleDiagonal, s.Change != nil && *s.Change == transform.Minor, "kasa_config"},
	} {
		t := l.tensors[x.role]
		switch {
		case x.on && t == nil:
			return p.missing(l, x.role)
		case !x.on && t != nil:
			return &FieldError{Path: p.config.Path, Field: x.field, Value: "false", Reason: fmt.Sprintf("but the weights hold %q", t.Name)}
		}
	}
	return nil
}

func firstOf(a, b *safetensors.Tensor) *safetensors.Tensor {
	if a != nil {
		return a
	}
	return b
}
