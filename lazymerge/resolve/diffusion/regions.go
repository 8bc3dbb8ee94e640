package diffusion

import (
	"slices"
	"strings"
)

// The roles of a pipeline's components, by which adapters may name them.
const (
	denoiser = "denoiser"
	text1    = "text_encoder"
	text2    = "text_encoder_2"
	text3    = "text_encoder_3"
)

// roles tell what adapters and pipelines call a component: its directory in
// diffusers, the prefix of ComfyUI's keys, and of sd-scripts' keys the part behind
// "lora_" (sd-scripts networks/lora*.py, LORA_PREFIX_*).
var roles = map[string]string{
	"":                      denoiser,
	"unet":                  denoiser,
	"transformer":           denoiser,
	"prior":                 denoiser,
	"diffusion_model":       denoiser,
	"model.diffusion_model": denoiser,
	"text_encoder":          text1,
	"text_encoder_1":        text1,
	"text_encoder_2":        text2,
	"text_encoder_3":        text3,
	"te":                    text1,
	"te1":                   text1,
	"te2":                   text2,
	"te3":                   text3,
	"clip_l":                text1,
	"clip_g":                text2,
	"t5xxl":                 text3,
	"umt5xxl":               text1,
}

func roleOf(part string) string {
	if role, ok := roles[part]; ok {
		return role
	}
	return part
}

// sections are the prefixes under which checkpoints of several models keep each of
// them: the layouts of SD 1.x and 2.x, SDXL with its refiner, and ComfyUI's.
var sections = []struct {
	prefix string
	roles  []string
}{
	{"model.diffusion_model.", []string{denoiser}},
	{"diffusion_model.", []string{denoiser}},
	{"cond_stage_model.transformer.", []string{text1}},
	{"cond_stage_model.model.", []string{text1}},
	{"conditioner.embedders.0.transformer.", []string{text1}},
	{"conditioner.embedders.0.model.", []string{text1, text2}},
	{"conditioner.embedders.1.model.", []string{text2}},
	{"text_encoders.clip_l.transformer.", []string{text1}},
	{"text_encoders.clip_g.transformer.", []string{text2}},
	{"text_encoders.t5xxl.transformer.", []string{text3}},
	{"text_encoders.umt5xxl.transformer.", []string{text1}},
}

// regions splits a component into its models.
func regions(index int, c Component) []*region {
	if c.Dir != "" {
		return []*region{{component: index, dir: c.Dir, roles: dirRoles(c), tensors: c.Tensors}}
	}
	var found []*region
	rest := &region{component: index, roles: []string{denoiser, text1, text2, text3}}
	bySection := make(map[string]*region)
	for _, t := range c.Tensors {
		r := rest
		for _, s := range sections {
			if !strings.HasPrefix(t.Name, s.prefix) {
				continue
			}
			if r = bySection[s.prefix]; r == nil {
				r = &region{component: index, prefix: s.prefix, roles: s.roles}
				bySection[s.prefix] = r
				found = append(found, r)
			}
			break
		}
		r.tensors = append(r.tensors, t)
	}
	if found == nil {
		return []*region{rest}
	}
	// Without another second encoder T5 is the second, as of Flux.
	t5 := bySection["text_encoders.t5xxl.transformer."]
	if t5 != nil && !slices.ContainsFunc(found, func(r *region) bool { return slices.Contains(r.roles, text2) }) {
		t5.roles = []string{text2, text3}
	}
	return found
}

// Beginnings of names that tell of a model which stands alone what it is.
var (
	denoiserNames = []string{"down_blocks.", "transformer_blocks.", "single_transformer_blocks.", "double_blocks.", "joint_blocks.", "blocks.", "input_blocks.", "noise_refiner."}
	textNames     = []string{"text_model.", "encoder.layers.", "encoder.block.", "model.layers.", "model.language_model.", "language_model."}
)

// may tells whether a model that stands alone can have a role: not that of a text encoder
// where it is a denoiser, nor the other way round.
func (r *region) may(role string) bool {
	other := textNames
	if role != denoiser {
		other = denoiserNames
	}
	return !slices.ContainsFunc(r.tensors, func(t Tensor) bool {
		return slices.ContainsFunc(other, func(begin string) bool { return strings.HasPrefix(t.Name, begin) })
	})
}

// dirRoles are the roles of a pipeline's directory. sd-scripts calls T5 the third
// text encoder also where it is the pipeline's second (Flux).
func dirRoles(c Component) []string {
	role := roleOf(c.Dir)
	if role == text2 && len(c.Tensors) > 0 && isT5(c) {
		return []string{text2, text3}
	}
	return []string{role}
}

func isT5(c Component) bool {
	for _, t := range c.Tensors {
		if strings.HasPrefix(t.Name, "encoder.block.") {
			return true
		}
	}
	return false
}
