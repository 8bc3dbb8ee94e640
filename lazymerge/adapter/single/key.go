package single

import (
	"regexp"
	"strings"
)

// role says what a tensor is to its module.
type role string

// The roles. Those of one algorithm are listed in algorithms.
const (
	roleDown          role = "lora_down"
	roleUp            role = "lora_up"
	roleMid           role = "lora_mid"
	roleUpBias        role = "lora_up.bias"
	roleAlpha         role = "alpha"
	roleMagnitude     role = "dora_scale"
	rolePEFTMagnitude role = "lora_magnitude_vector"
	roleSingular      role = "lambda_layer"
	roleDiff          role = "diff"
	roleDiffBias      role = "diff_b"
	roleSet           role = "set_weight"
	roleNorm          role = "w_norm"
	roleNormBias      role = "b_norm"
	roleHada1A        role = "hada_w1_a"
	roleHada1B        role = "hada_w1_b"
	roleHada2A        role = "hada_w2_a"
	roleHada2B        role = "hada_w2_b"
	roleHadaT1        role = "hada_t1"
	roleHadaT2        role = "hada_t2"
	roleKron1         role = "lokr_w1"
	roleKron1A        role = "lokr_w1_a"
	roleKron1B        role = "lokr_w1_b"
	roleKron2         role = "lokr_w2"
	roleKron2A        role = "lokr_w2_a"
	roleKron2B        role = "lokr_w2_b"
	roleKronT2        role = "lokr_t2"
	roleBlocks        role = "oft_blocks"
	roleRescale       role = "rescale"
	roleA1            role = "a1.weight"
	roleA2            role = "a2.weight"
	roleB1            role = "b1.weight"
	roleB2            role = "b2.weight"
	roleBM            role = "bm.weight"
	roleOnInput       role = "on_input"
	roleIA3           role = "weight"
)

// target is a module as an adapter names it.
type target struct {
	part   string // component, "" when the key does not say
	module string
	flat   bool // the module has underscores in place of dots
	prefix string
}

// suffixes turn the end of a key into a role. The first that matches holds; what
// stands before it names the module. A group named "tag" says that the key is one of
// an attention processor.
var suffixes = []struct {
	pattern *regexp.Regexp
	roles   map[string]role // by the group "what"; nil: the group is the role
}{
	{regexp.MustCompile(`^(?P<stem>.+)_lora(?P<tag>\d?)\.(?P<what>down|up)\.weight$`), downUp},
	{regexp.MustCompile(`^(?P<stem>.+)_lora(?P<tag>\d?)\.(?P<what>alpha)$`), nil},
	{regexp.MustCompile(`^(?P<stem>.+)\.(?:lora|lora_linear_layer)\.(?P<what>down|up)\.weight$`), downUp},
	{regexp.MustCompile(`^(?P<stem>.+)\.(?:lora|lora_linear_layer)\.(?P<what>up)\.bias$`), upBias},
	{regexp.MustCompile(`^(?P<stem>.+)\.(?:lora|lora_linear_layer)\.(?P<what>alpha)$`), nil},
	{regexp.MustCompile(`^(?P<stem>.+)\.lora_(?P<what>down|up|A|B)(?:\.[^.]+)?\.weight$`), downUp},
	{regexp.MustCompile(`^(?P<stem>.+)\.lora_(?P<what>up|B)(?:\.[^.]+)?\.bias$`), upBias},
	{regexp.MustCompile(`^(?P<stem>.+)\.(?P<what>lora_mid)\.weight$`), nil},
	{regexp.MustCompile(`^(?P<stem>.+)\.(?P<what>lora_magnitude_vector)(?:\.[^.]+)?$`), nil},
	{regexp.MustCompile(`^(?P<stem>.+)\.(?P<what>alpha|dora_scale|diff|diff_b|set_weight|w_norm|b_norm|` +
		`hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2|oft_blocks|rescale|[ab][12]\.weight|bm\.weight|on_input|lambda_layer)$`), nil},
	{regexp.MustCompile(`^(?P<stem>.+)\.(?P<what>weight)$`), nil},
}

var (
	downUp = map[string]role{"down": roleDown, "A": roleDown, "up": roleUp, "B": roleUp}
	upBias = map[string]role{"up": roleUpBias, "B": roleUpBias}
)

// parseKey takes a key apart.
func parseKey(key string) (target, role, bool) {
	if block, ok := strings.CutSuffix(key, ".diff_m"); ok { // LightX2V's for Wan
		key = block + ".modulation.diff"
	}
	for _, s := range suffixes {
		m := s.pattern.FindStringSubmatch(key)
		if m == nil {
			continue
		}
		what := m[s.pattern.SubexpIndex("what")]
		r := role(what)
		if s.roles != nil {
			r = s.roles[what]
		}
		t := parseStem(m[1])
		if i := s.pattern.SubexpIndex("tag"); i >= 0 {
			t.module = processed(t, m[i])
		}
		return t, r, true
	}
	return target{}, "", false
}

var (
	// flatStem is a name with underscores for dots: sd-scripts' and LyCORIS' prefixes.
	// VideoX-Fun writes two behind them.
	flatStem = regexp.MustCompile(`^((?:lora|oft|lycoris)_(unet|transformer|prior|te[123]?|text_encoder(?:_[123])?)|lycoris)_+([^.]+)$`)
	// comfyStem is a name of a text encoder in ComfyUI's checkpoints.
	comfyStem = regexp.MustCompile(`^(text_encoders\.(clip_l|clip_g|t5xxl|umt5xxl)\.transformer)\.(.+)$`)
	// partStem is a name that begins with the component it belongs to.
	partStem = regexp.MustCompile(`^(model\.diffusion_model|diffusion_model|unet|transformer(?:_\d+)?|prior|text_encoder(?:_\d+)?)\.(.+)$`)
)

// parseStem finds the component and the module in what stands before a suffix.
func parseStem(stem string) target {
	stem = unwrap(stem)
	if m := flatStem.FindStringSubmatch(stem); m != nil {
		return target{part: m[2], module: m[3], flat: true, prefix: m[1]}
	}
	if m := comfyStem.FindStringSubmatch(stem); m != nil {
		return target{part: m[2], module: m[3], prefix: m[1]}
	}
	if m := partStem.FindStringSubmatch(stem); m != nil {
		return target{part: m[1], module: m[2], prefix: m[1]}
	}
	return target{module: stem}
}

// peftPrefix begins the keys of adapters that PEFT saves.
const peftPrefix = "base_model.model."

// unwrap drops the names of wrappers that training puts around a model.
func unwrap(stem string) string {
	for _, w := range []string{peftPrefix, "_orig_mod.", "module.", "pipe.dit."} { // the last is DiffSynth's
		stem = strings.TrimPrefix(stem, w)
	}
	return strings.ReplaceAll(stem, "._orig_mod.", ".")
}

var (
	doubleBlock = regexp.MustCompile(`^(double_blocks\.\d+)\.processor\.(qkv|proj)$`)
	singleBlock = regexp.MustCompile(`^(single_blocks\.\d+)\.processor\.(qkv|proj)$`)
)

// processed is the module that an attention processor's LoRA belongs to. Processors
// have their layers beside those of the attention: to_q_lora beside to_q. XLabs' have
// qkv_lora1 for the image and qkv_lora2 for the text.
func processed(t target, tag string) string {
	if m := doubleBlock.FindStringSubmatch(t.module); m != nil {
		side := map[string]string{"1": "img_attn", "2": "txt_attn"}[tag]
		return m[1] + "." + side + "." + m[2]
	}
	if m := singleBlock.FindStringSubmatch(t.module); m != nil {
		return m[1] + "." + map[string]string{"qkv": "qkv", "proj": "linear2"}[m[2]]
	}
	module := strings.Replace(t.module, ".processor.", ".", 1)
	dot := strings.LastIndexByte(module, '.') + 1
	above, last := module[:dot], module[dot:]
	if strings.HasSuffix(above, "self_attn.") {
		if name, ok := textNames[last]; ok {
			return above + name
		}
	}
	if last == "to_out" {
		last = "to_out.0"
	}
	return above + last
}

// textNames are the projections of a text encoder by the names of a UNet's.
var textNames = map[string]string{"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
